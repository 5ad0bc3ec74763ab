"""The index in use, over the HTTP API, with the login and certificates that devpi-client keeps.

Redirects are not followed: devpi's own header with the login would go along to whoever is named.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote

from devpi_forkbuilder.client.models import ClientError, ForkState
from devpi_forkbuilder.domain.pins.pins import Pin, redacted
from devpi_forkbuilder.domain.pins.settings import IndexSettings

FEATURE = "forkbuilder"
INDEX_TYPE = "forkbuilder"
CONNECT = 10.0
"""Seconds until a server that does not take the connection is given up."""
READ = 60.0
"""Seconds without a byte until an answer is given up, beyond what the server was asked to wait."""
MESSAGES = re.compile(r", (?=forks?(?:_[a-z_]+)?: )")
"""Between the messages of our own index type, which devpi joins to one text."""


class ServerUnreachableError(ClientError):
    """No answer; the same request may succeed later."""


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """An HTTP answer. `message` is devpi's, `result` what it wraps; both may be missing."""

    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes
    body: Any

    @property
    def message(self) -> str:
        """What the server says about it, in one line."""
        return " ".join(str(self.body.get("message") or "").split()) if isinstance(self.body, dict) else ""

    @property
    def result(self) -> Any:
        """The result; raises ClientError when the answer is none of devpi's."""
        if not isinstance(self.body, dict) or "result" not in self.body:
            raise _no_devpi_answer()
        return self.body["result"]

    def named(self, name: str) -> Any:
        """What the result has of that name, None if nothing; raises ClientError when the result is not an object."""
        if not isinstance(self.result, dict):
            raise _no_devpi_answer()
        return self.result.get(name)

    def listed(self, name: str) -> list[Any]:
        """The list of that name, empty if there is none; raises ClientError when it is something else."""
        found = self.named(name) or []
        if not isinstance(found, list):
            raise _no_devpi_answer()
        return found


class Server:
    """Requests to one index. `url` is the index's, `user` who is logged in (None: nobody)."""

    def __init__(self, session: Any, root: str, index: str, headers: Mapping[str, str], user: str | None, **more: Any):
        self.session = session
        self.root = root.rstrip("/")
        self.index = index
        self.user = user
        self.patience = READ
        self._headers = dict(headers)
        self._more = more

    @property
    def url(self) -> str:
        """The index's URL."""
        return f"{self.root}/{self.index}"

    # what commands ask

    def states(self, project: str | None = None, wait: float = 0, python: str = "") -> tuple[ForkState, ...]:
        """The states of all pins or of one project's (normalized name); `wait` as the API has it, in seconds.

        `python` is the interpreter whose builds are meant, empty for any.
        """
        path = "+forks" if project is None else f"+forks/{quote(project)}"
        query = {**({"wait": f"{wait:g}"} if wait else {}), **({"python": python} if python else {})}
        return self._states(self.get(path, query, patience=wait))

    def pins(self) -> tuple[Pin, ...]:
        """The pins that are stored. Raises ClientError when the index is not one of forks."""
        config = self._config()
        return tuple(Pin.parse(str(line), number) for number, line in enumerate(config.listed("forks"), 1))

    def interpreters(self) -> Callable[[str], tuple[str, ...]]:
        """Which interpreters the index builds a project (normalized name) for. Raises ClientError as `pins` does."""
        lines = self._config().listed("fork_pythons")
        return IndexSettings.parse({"fork_pythons": lines}).interpreters

    def _config(self) -> ApiAnswer:
        answer = self._request("GET", self.url, params={"no_projects": ""})
        config = self._judged(answer, "read")
        if config.named("type") != INDEX_TYPE:
            self._diagnose(answer)
        return config

    def fork_indexes(self) -> tuple[str, ...]:
        """The server's indexes of forks, as USER/NAME. Raises ClientError."""
        users = self._judged(self._request("GET", f"{self.root}/"), "read").result
        if not isinstance(users, dict):
            return ()
        return tuple(
            f"{user}/{name}"
            for user, known in users.items()
            for name, config in (known.get("indexes") or {}).items()
            if config.get("type") == INDEX_TYPE
        )

    def change_pins(self, removed: Sequence[Pin], added: Sequence[Pin]) -> None:
        """Change the stored pins in one request, as `devpi index forks-=... forks+=...` does.

        What somebody else has pinned meanwhile stays; if a removed pin is not there any more, nothing is changed.
        """
        changes = [*(f"forks-={pin}" for pin in removed), *(f"forks+={pin}" for pin in added)]
        answer = self._request("PATCH", self.url, body=changes)
        if answer.status == 400:
            if set(removed) - set(self.pins()):
                what = f"The pins of {self.index} were changed by another user in the meantime; nothing was stored."
                raise ClientError("pins-changed", what, next_step="Run the command again.")
            raise PinsNotTakenError(self.index, MESSAGES.split(answer.message))
        self._judged(answer, "change pins on")

    def build(self, project: str, **options: Any) -> tuple[ForkState, ...]:
        """Ask for a project's build (normalized name); `options` are those of the API's body."""
        given = {name: value for name, value in options.items() if value}
        answer = self._request("POST", f"{self.url}/+forks/{quote(project)}/build", body=given)
        return self._states(self._judged(answer, "build on"))

    def identity(self, url: str, commit: str, subdirectory: str | None) -> Mapping[str, Any]:
        """What the server knows of a project's name, which it begins to compute: `state` as the API has it."""
        body = {"url": url, "commit": commit, **({"subdirectory": subdirectory} if subdirectory else {})}
        answer = self._judged(self._request("POST", f"{self.url}/+forks/+identity", body=body), "compute names on")
        return {name: answer.named(name) for name in ("state", "project", "version", "error")}

    def log(self, state: ForkState, start: int = 0, tail: int | None = None, python: str = "") -> ApiAnswer:
        """A pin's build log from byte `start`; the status may be 200, 206, 404 (no log) or 416 (nothing more).

        It is the newest, or with `python` the one of the build for exactly that interpreter.
        """
        path = f"+forks/{quote(state.name)}/{state.commit}/log"
        query = {**({"tail": str(tail)} if tail is not None else {}), **({"python": python} if python else {})}
        query["version"] = state.version or ""
        headers = {"Range": f"bytes={start}-"} if start else {}
        return self.get(path, query, headers={**headers, "Accept": "text/plain"}, fine=(200, 206, 404, 416))

    def get(
        self,
        path: str,
        query: Mapping[str, str],
        *,
        patience: float = 0,
        headers: Mapping[str, str] | None = None,
        fine: tuple[int, ...] = (200,),
    ) -> ApiAnswer:
        """GET below the index; other answers than `fine` are raised as ClientError."""
        answer = self._request("GET", f"{self.url}/{path}", params=query, headers=headers, patience=patience)
        return answer if answer.status in fine else self._judged(answer, "read")

    # how it is asked

    def _request(
        self,
        method: str,
        url: str,
        *,
        body: object = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        patience: float = 0,
    ) -> ApiAnswer:
        try:
            response = self.session.request(
                method,
                url,
                json=body,
                params=params,
                headers={"Accept": "application/json", **self._headers, **(headers or {})},
                timeout=(min(CONNECT, self.patience), self.patience + patience),
                allow_redirects=False,
                **self._more,
            )
        except self.session.Errors as error:
            raise _unreachable(self.root, error, self.session.SSLError) from error
        return ApiAnswer(response.status_code, response.reason, response.headers, response.content, _json(response))

    def _judged(self, answer: ApiAnswer, what: str) -> ApiAnswer:
        """The answer if it is a good one; else ClientError says what to do about it. `what` was to be done."""
        if answer.status in {200, 201, 202}:
            return answer
        if answer.status in {401, 403}:
            self._not_permitted(answer, what)
        if answer.status == 404:
            self._diagnose(answer)
        if 300 <= answer.status < 400:
            text = f"{self.root} has moved to {answer.headers.get('location', 'another place')}."
            raise ClientError("server-moved", text, next_step="Choose the new URL with 'devpi use'.")
        text = f"{self.root} answered {answer.status} {answer.reason}{': ' if answer.message else ''}{answer.message}."
        later = answer.status >= 500
        raise (ServerUnreachableError if later else ClientError)(
            "server-answer", text.replace("..", "."), next_step="Try again in a moment." if later else ""
        )

    def _not_permitted(self, answer: ApiAnswer, what: str) -> NoReturn:
        if self.user is None:
            raise not_logged_in(what, self.index)
        api = self._request("GET", f"{self.root}/+api")
        status = api.listed("authstatus") if isinstance(api.body, dict) and "result" in api.body else []
        if answer.status == 401 or (status and status[0] != "ok"):
            text = f"The login of {self.user} is not valid any more."
            raise ClientError("login-expired", text, next_step=f"Log in again: devpi login {self.user}")
        text = f"User {self.user} has no permission to {what} {self.index}."
        raise ClientError(
            "no-permission",
            text,
            next_step="Log in as a user with that permission ('devpi login'), or ask the owner of the index.",
        )

    def _diagnose(self, answer: ApiAnswer) -> NoReturn:
        """Why the index has no forks, or not what was asked for."""
        api = self._request("GET", f"{self.root}/+api")
        if FEATURE not in api.listed("features"):
            text = f"The server {self.root} does not have the plugin devpi-forkbuilder."
            raise ClientError("no-plugin", text, next_step="Install devpi-forkbuilder[server] there, and restart it.")
        config = self._request("GET", self.url, params={"no_projects": ""})
        if config.status == 404:
            text = f"There is no index {self.index} on {self.root}."
            raise ClientError("no-such-index", text, next_step="'devpi use -l' lists the indexes.")
        if config.status == 200 and config.named("type") != INDEX_TYPE:
            text = f"The index {self.index} is of type {config.named('type')}, not of type {INDEX_TYPE}."
            fix = f"'devpi index -c NAME type={INDEX_TYPE} bases=root/pypi' makes one, 'devpi use' chooses it."
            raise ClientError("other-index-type", text, next_step=fix)
        raise ClientError("not-found", answer.message or "The server does not have it.")

    @staticmethod
    def _states(answer: ApiAnswer) -> tuple[ForkState, ...]:
        try:
            return tuple(map(ForkState.read, answer.result))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = "The server's answer does not come from this version of devpi-forkbuilder."
            raise ClientError("other-version", what, next_step="Install the same version on both sides.") from error


class PinsNotTakenError(ClientError):
    """The server refused a change of pins; `messages` has one text for each reason."""

    def __init__(self, index: str, messages: Sequence[str]) -> None:
        self.messages = tuple(message for message in messages if message)
        super().__init__("pins-refused", f"The server does not take these pins on {index}; nothing was stored.")


def connect(hub: Any, patience: float = READ) -> Server:
    """The server of `hub` (devpi-client's), ready to be asked about the index in use. Raises ClientError.

    `patience` is for how many seconds an answer is waited for.
    """
    hub.set_quiet()  # its chatter goes where our output goes
    hub.fatal = _refuse  # devpi-client prints and exits where we want one line
    current = hub.current
    if not current.index:
        what = "No index is in use."
        raise ClientError("no-index", what, next_step="Choose one: devpi use http://HOST/USER/INDEX")
    root, index = current.root_url.url.rstrip("/"), current.index.rstrip("/")
    user = current.get_auth_user()
    auth = current.get_auth(username=user) if user else None
    headers = {"X-Devpi-Auth": base64.b64encode(":".join(auth).encode()).decode()} if auth else {}
    server = Server(
        hub.http,
        root,
        index.removeprefix(root).strip("/"),
        headers,
        user if auth else None,
        auth=current.get_basic_auth(url=index),
        cert=current.get_client_cert(url=index),
    )
    server.patience = patience
    return server


def require_login(server: Server, what: str) -> None:
    """Raises ClientError when nobody is logged in."""
    if server.user is None:
        raise not_logged_in(what, server.index)


def not_logged_in(what: str, index: str) -> ClientError:
    """What to say to somebody unknown who wants to do something with an index."""
    return ClientError(
        "not-logged-in", f"You are not logged in, and cannot {what} {index}.", next_step="devpi login USER"
    )


def _no_devpi_answer() -> ClientError:
    what = "The answer does not come from a devpi server."
    return ClientError("no-devpi-answer", what, next_step="'devpi use' shows which server is in use.")


def _refuse(*message: object) -> NoReturn:
    text = redacted(" ".join(" ".join(map(str, message)).split()))
    raise ClientError("devpi", text if text.endswith(".") else f"{text}.")


def _unreachable(root: str, error: Exception, tls: type[Exception]) -> ServerUnreachableError:
    if isinstance(error, tls):
        what, fix = f"{root} has a certificate that is not trusted here.", "REQUESTS_CA_BUNDLE names your authority."
    else:
        what = f"The server {root} cannot be reached ({type(error).__name__})."
        fix = "Is it running? 'devpi use' shows and chooses the server."
    return ServerUnreachableError("server-unreachable", what, next_step=fix)


def _json(response: Any) -> Any:
    if "json" not in response.headers.get("content-type", ""):
        return None
    try:
        return response.json()
    except ValueError:
        return None
