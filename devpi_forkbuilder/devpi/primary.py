"""The primary of this replica, over HTTP, with devpi's own client and this replica's identity.

The only place that knows the primary's URL. It is never asked for a simple page: a page that is being held has no
serial yet. Answers to the API carry the serial of the store that they were read from.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote, urlencode

from devpi_server.proxy import clean_request_headers, clean_response_headers
from devpi_server.replica import ReplicaHTTPClient
from httpx import ReadTimeout
from pyramid.response import Response

from devpi_forkbuilder.devpi.names import UpstreamError
from devpi_forkbuilder.domain.pins.orders import OrderKey
from devpi_forkbuilder.domain.trace import HEADER
from devpi_forkbuilder.pipeline.tracing import next_hop
from devpi_forkbuilder.service.replica.client import (
    PrimaryAnswer,
    PrimaryBusyError,
    PrimaryUnreachableError,
    UnwillingError,
    answer_of,
)

CONNECT = 3.0
ANSWER = 5.0
"""Seconds until a primary that does not accept a connection, or is silent, counts as unreachable."""
CHANGE = 30.0
"""The same for a change, which may be that of a large page."""
LIVES = 2.0
"""The same for a primary that is asked whether it lives, when it takes its time over something else."""
FAR_AHEAD = 2**40
SERIAL = "X-DEVPI-SERIAL"
OUTSIDE_URL = "X-Outside-Url"
ONE_CHANGE = {"Accept": "application/x-devpi-replica-changes-v2, */*;q=0.5"}
"""devpi-server 7 gives changes in this form only; version 6 does not look."""
PLAIN_JSON = {"Accept": "application/json", "Content-Type": "application/json", "Accept-Encoding": "identity"}
"""Answers are read as they come: without the last one httpx asks for gzip, and a proxy in between obliges."""
Timeout = tuple[float, float, float, float]


class PrimaryServer:
    """The `service.primary.Primary` of a devpi replica. May be used by several threads."""

    errors = (UpstreamError,)
    """What devpi's own proxying of a write raises when the primary does not answer."""

    def __init__(self, xom: Any) -> None:
        self._http = ReplicaHTTPClient(xom)
        self._offline = bool(xom.config.offline_mode)
        self._root = xom.config.primary_url.url.rstrip("/")

    @property
    def url(self) -> str:
        """Its root; devpi refuses one with credentials."""
        return str(self._root)

    def miss(self, key: OrderKey, timeout: float) -> PrimaryAnswer:
        """POST .../miss, as a simple page of the primary would do. Raises PrimaryUnreachableError, UnwillingError."""
        body = json.dumps({"commit": key.commit, "python": key.python}).encode()
        try:
            return self._told(key, "POST", f"{_path(key)}/miss", body, _limits(timeout))
        except PrimaryUnreachableError as error:
            if isinstance(error.__cause__, ReadTimeout) and self._lives():
                raise PrimaryBusyError(self.url) from error
            raise

    def _lives(self) -> bool:
        """Whether the primary answers what needs no transaction."""
        soon = (LIVES, LIVES, LIVES, LIVES)
        try:
            self._send("GET", f"{self._root}/+forkbuilder/live", None, self._http.get_extra_headers({}), soon)
        except PrimaryUnreachableError:
            return False
        return True

    def poll(self, key: OrderKey, wait: float) -> PrimaryAnswer:
        """GET .../+forks/PROJECT?wait=. Raises UnreachableError, UnwillingError."""
        query = urlencode({"wait": f"{wait:.0f}", "python": key.python})
        return self._told(key, "GET", f"{_path(key)}?{query}", None, _limits(wait + ANSWER))

    def knows_us(self) -> bool:
        """Whether this replica's identity is accepted. Raises UnreachableError.

        A change that is far ahead is asked for: devpi judges the identity first, and then has nothing to send.
        """
        headers = self._http.get_extra_headers(ONE_CHANGE)
        status, _, _ = self._send("GET", f"{self._root}/+changelog/{FAR_AHEAD}", None, headers, _limits(ANSWER))
        return int(status.split()[0]) == 404

    def change(self, serial: int) -> tuple[int, bytes]:
        """Status and body of the answer to the question for one change. Raises UnreachableError.

        202 or 404: there are not so many changes.
        """
        headers = self._http.get_extra_headers({**ONE_CHANGE, "Accept-Encoding": "identity"})
        url = f"{self._root}/+changelog/{serial}?initial_fetch"
        status, _, body = self._send("GET", url, None, headers, _limits(CHANGE))
        return int(status.split()[0]), body

    def forward(self, request: Any, patience: float) -> Any:
        """The primary's answer to a client's request, its links made for this server; the client's own credentials
        are judged there. With no `patience` the request's `wait` is left out. Raises UnreachableError.
        """
        headers = clean_request_headers(request)
        headers.setdefault("Accept-Encoding", "identity")  # httpx would ask for what the client may not understand
        headers[OUTSIDE_URL] = request.application_url
        url = f"{self._root}{quote(request.path_info)}"
        query = request.query_string if patience else _without_wait(request)
        if query:
            url += f"?{query}"
        status, answer_headers, body = self._send(request.method, url, None, headers, _limits(patience + ANSWER))
        return Response(status=status, headerlist=answer_headers, body=body)

    def outside(self, request: Any) -> None:
        """Make devpi's own proxying of a write tell the primary under which URL links are wanted."""
        request.headers[OUTSIDE_URL] = request.application_url

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _told(self, key: OrderKey, method: str, path: str, body: bytes | None, timeout: Timeout) -> PrimaryAnswer:
        headers = self._http.get_extra_headers({**PLAIN_JSON, HEADER: str(next_hop())})
        status, answer_headers, content = self._send(method, f"{self._root}{path}", body, headers, timeout)
        code = int(status.split()[0])
        if code // 100 != 2:
            raise _unwilling(self.url, code)
        try:
            serial = int(next(value for name, value in answer_headers if name.lower() == SERIAL.lower()))
            record = answer_of(key, json.loads(content)["result"])
        except (ValueError, KeyError, TypeError, StopIteration) as error:
            raise PrimaryUnreachableError(
                self.url, f"its answer is not that of this API ({type(error).__name__})"
            ) from error
        if record is None:
            raise _unwilling(self.url, 404)
        return PrimaryAnswer(serial, record)

    def _send(
        self, method: str, url: str, body: bytes | None, headers: Any, timeout: Timeout
    ) -> tuple[str, list[tuple[str, str]], bytes]:
        """Status line, headers and body as they came; answers of a server that is not up are UnreachableError."""
        if self._offline:  # devpi's client has another signature then
            raise PrimaryUnreachableError(self.url, "this server is in offline mode")
        http = self._http.http
        try:
            with ExitStack() as stack:
                answer = http.stream(
                    stack,
                    method,
                    url,
                    content=body,
                    extra_headers=dict(headers.items()),
                    allow_redirects=False,
                    timeout=timeout,
                    raise_on_error=True,
                )
                content = b"".join(answer.iter_raw())
        except http.Errors as error:
            raise PrimaryUnreachableError(self.url, type(error).__name__) from error
        if answer.status_code >= 500:
            raise PrimaryUnreachableError(self.url, f"it answers {answer.status_code}")
        cleaned = [(name, value) for name, value in clean_response_headers(answer).items()]
        return f"{answer.status_code} {answer.reason_phrase}", cleaned, content


def _path(key: OrderKey) -> str:
    return quote(f"/{key.index}/+forks/{key.project}", safe="/+")


def _without_wait(request: Any) -> str:
    return urlencode([(name, value) for name, value in request.GET.items() if name != "wait"])


def _limits(read: float) -> Timeout:
    """Seconds for connecting, reading, writing and waiting for a connection, as httpx takes them."""
    return (CONNECT, read, ANSWER, ANSWER)


def _unwilling(url: str, code: int) -> UnwillingError:
    why = {
        401: "it does not take this replica for one of its own (401)",
        403: "it does not take this replica for one of its own (403)",
        404: "it does not know the pin (404)",
    }
    error = UnwillingError(url, why.get(code, f"it answers {code}"))
    error.retryable = False
    return error
