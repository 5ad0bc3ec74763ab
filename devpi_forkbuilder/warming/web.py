"""The index over HTTP, as an installer of some target sees it: pages, files, and whether a file is cached there.

Passing faults (a connection that breaks, a server that is busy) are tried again with growing pauses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter

from devpi_forkbuilder import __version__
from devpi_forkbuilder.domain.compat.platforms import user_agent
from devpi_forkbuilder.domain.compat.targets import Client
from devpi_forkbuilder.domain.simple.simplepage import ACCEPT, ListedFile, read_page
from devpi_forkbuilder.warming.protocols import NotFetchedError

CHUNK = 256 * 1024
CONNECT = 15.0
"""Seconds until a server that does not take the connection is given up."""
READ = 120.0
"""Seconds without a byte until an answer is given up. A held page sends one every 5."""
TRIES = 5
BUSY_TRIES = 60
"""How often a server that says when to come again is asked."""
LONGEST_PAUSE = 30.0
PASSING = frozenset({408, 429, 500, 502, 503, 504})
MOST_PAGE = 256 * 1024 * 1024
DEVPI = "X-DEVPI-SERVER-VERSION"
"""A header of every answer of devpi's."""
Read = TypeVar("Read")
PROGRAM = f"devpi-forkbuilder/{__version__}"


@dataclass(frozen=True, slots=True)
class IndexUrl:
    """An index: `pages` is the URL of its simple pages, with `/` at the end and without user info; `auth` is that."""

    pages: str
    auth: tuple[str, str] | None = None

    @classmethod
    def parse(cls, text: str) -> IndexUrl:
        """`http://[USER:PASSWORD@]HOST/USER/NAME[/+simple/]`. Raises ValueError with a sentence without secrets."""
        parts = urlsplit(text)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("This is not the URL of an index: write http://HOST/USER/NAME/+simple/.")
        host = parts.netloc.rpartition("@")[2]
        path = parts.path.rstrip("/")
        if not path.endswith(("/+simple", "/+cached", "/simple")):
            path += "/+simple"
        user = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        return cls(urlunsplit((parts.scheme, host, f"{path}/", "", "")), user)

    @property
    def with_auth(self) -> str:
        """The URL with user info, for the environment of another program, and for nothing that is shown."""
        if self.auth is None:
            return self.pages
        parts = urlsplit(self.pages)
        login = ":".join(quote(word, safe="") for word in self.auth)
        return urlunsplit((parts.scheme, f"{login}@{parts.netloc}", parts.path, "", ""))

    def page(self, name: str) -> str:
        """The page of a project (normalized name)."""
        return f"{self.pages}{quote(name)}/"

    def cached(self) -> IndexUrl:
        """The same index where no page starts a build, if it is a devpi's with this plugin."""
        return IndexUrl(self.pages.replace("/+simple/", "/+cached/"), self.auth)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that came: its size in bytes, and its SHA-256."""

    size: int
    sha256: str


class Web:
    """Requests to one index. May be used by several threads. `pause` waits for some seconds."""

    def __init__(self, index: IndexUrl, pause: Callable[[float], None], hands: int = 8) -> None:
        self.index = index
        self._pause = pause
        self._is_devpi = False
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=hands))

    def open(self) -> None:
        """Ask the index for itself, once. Raises NotHadError when nothing answers, or says that there is no index.

        An index of devpi's answers for itself below `+api`; of others only the connection is tried.
        """
        base, devpi, _ = self.index.pages.partition("/+simple/")
        try:
            with self._answer("GET", f"{base}/+api" if devpi else self.index.pages, {"Accept": "application/json"}):
                pass
        except _PassingError:
            return  # it is there, and busy
        except requests.RequestException as error:
            raise NotFetchedError(_words(error)) from None
        except NotFetchedError as error:
            if error.why.startswith("404"):
                raise NotFetchedError("there is no such index") from None

    def page(self, name: str, client: Client) -> tuple[ListedFile, ...]:
        """The files on a project's page as `client` sees it; builds what it misses. Raises NotHadError."""
        return self._page(self.index.page(name), client)

    def kept_page(self, name: str, client: Client) -> tuple[ListedFile, ...]:
        """The same without a build. A server without the plugin, which builds nothing, has no such page."""
        try:
            return self._page(self.index.cached().page(name), client)
        except NotFetchedError:
            return self.page(name, client)

    def _page(self, url: str, client: Client) -> tuple[ListedFile, ...]:
        headers = {"Accept": ACCEPT, "User-Agent": user_agent(PROGRAM, client)}

        def read() -> tuple[ListedFile, ...]:
            with self._answer("GET", url, headers) as answer:
                self._is_devpi = self._is_devpi or DEVPI in answer.headers
                body = b"".join(_chunks(answer, MOST_PAGE))
                return read_page(body, answer.headers.get("Content-Type", ""), answer.url)

        return self._patiently(read)

    def fetch(self, file: ListedFile, into: IO[bytes] | None = None) -> Fetched:
        """Have a file sent, so that the index keeps it; its bytes go to `into`.

        Raises NotHadError, also when its SHA-256 is not the one of the page.
        """

        def read() -> Fetched:
            digest, size = hashlib.sha256(), 0
            if into is not None:
                into.seek(0)
                into.truncate()
            with self._answer("GET", file.url, {"Accept": "*/*"}) as answer:
                for chunk in _chunks(answer):
                    digest.update(chunk)
                    size += len(chunk)
                    if into is not None:
                        into.write(chunk)
            return Fetched(size, digest.hexdigest())

        fetched = self._patiently(read)
        if file.sha256 and fetched.sha256 != file.sha256:
            raise NotFetchedError(f"its SHA-256 is {fetched.sha256}, and its page says {file.sha256}")
        return fetched

    def metadata(self, file: ListedFile) -> None:
        """Have a wheel's metadata sent (PEP 658). Raises NotHadError."""

        def read() -> None:
            with self._answer("GET", f"{file.url}.metadata", {"Accept": "*/*"}) as answer:
                for _ in _chunks(answer):
                    pass

        self._patiently(read)

    def has(self, file: ListedFile) -> bool:
        """Whether the index has the bytes of a file itself; does not make it fetch them. Raises NotHadError.

        devpi tells what it knows of a file to who asks for JSON: one that it never had has no `last_modified`. A file
        that it had may be gone, or not yet on this replica: the head of its download tells that, for only what is sent
        from disk is called immutable. Of other servers nothing is known.
        """
        if not self._is_devpi:
            return False

        def read() -> bool:
            with self._answer("GET", file.url, {"Accept": "application/json"}) as answer:
                if "json" not in answer.headers.get("Content-Type", ""):
                    return True  # a web server in front of devpi sends it from the same disk
                known = _json(answer).get("result")
            if not isinstance(known, dict) or not known.get("last_modified"):
                return False
            with self._answer("HEAD", file.url, {"Accept": "*/*"}) as answer:
                return "immutable" in answer.headers.get("Cache-Control", "")

        return self._patiently(read)

    def _patiently(self, read: Callable[[], Read]) -> Read:
        """What `read` gives; passing faults are tried again."""
        number = 0
        while True:
            number += 1
            try:
                return read()
            except _PassingError as fault:
                if number >= (BUSY_TRIES if fault.retry_after else TRIES):
                    raise NotFetchedError(fault.why) from None
                pause = fault.retry_after or 2.0 ** (number - 2)
            except requests.RequestException as error:
                if number >= TRIES:
                    raise NotFetchedError(_words(error)) from None
                pause = 2.0 ** (number - 2)
            except ValueError as error:
                raise NotFetchedError(str(error)) from None
            self._pause(min(pause, LONGEST_PAUSE))

    @contextmanager
    def _answer(self, method: str, url: str, headers: dict[str, str]) -> Iterator[requests.Response]:
        """A good answer, its body not read yet. Raises NotHadError for a final one, _PassingError, RequestException."""
        own = urlsplit(url).netloc == urlsplit(self.index.pages).netloc
        response = self._session.request(
            method,
            url,
            headers={"Accept-Encoding": "identity", "User-Agent": PROGRAM, **headers},
            auth=self.index.auth if own else None,
            timeout=(CONNECT, READ),
            stream=True,
            allow_redirects=True,
        )
        with response:
            if response.status_code in PASSING:
                raise _PassingError(_told(response), _seconds(response.headers.get("Retry-After")))
            if response.status_code >= 300:
                raise NotFetchedError(_told(response))
            yield response


class _PassingError(Exception):
    def __init__(self, why: str, retry_after: float) -> None:
        super().__init__(why)
        self.why = why
        self.retry_after = retry_after


def _chunks(answer: requests.Response, most: int | None = None) -> Iterator[bytes]:
    """The body; one that ends before its announced length is a RequestException."""
    size = 0
    for chunk in answer.iter_content(CHUNK):
        size += len(chunk)
        if most is not None and size > most:
            raise ValueError("the page is too large")
        yield chunk
    length = answer.headers.get("Content-Length", "")
    if length.isdigit() and "Content-Encoding" not in answer.headers and size != int(length):
        raise requests.ConnectionError(f"the answer ended after {size} of {length} bytes")


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except requests.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _told(response: requests.Response) -> str:
    return f"{response.status_code} {' '.join((response.reason or '').split())}".strip()[:500]


def _seconds(text: str | None) -> float:
    return float(text) if text is not None and text.isascii() and text.isdigit() else 0.0


def _words(error: requests.RequestException) -> str:
    """What happened, without the URL, which may have user info."""
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    reason = getattr(error.args[0] if error.args else error, "reason", None) or error
    while isinstance(reason, Exception) and reason.__cause__ is not None and not isinstance(reason, OSError):
        reason = reason.__cause__
    cause = reason.strerror if isinstance(reason, OSError) and reason.strerror else type(reason).__name__
    return f"the connection failed ({cause})"
