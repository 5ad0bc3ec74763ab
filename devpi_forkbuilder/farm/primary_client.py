"""A worker's way to its primary: one attempt at one order, over HTTP."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import requests

from devpi_forkbuilder.domain.trace import HEADER
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.farm.tickets import WorkRefusedError
from devpi_forkbuilder.pipeline.tracing import next_hop

TIMEOUT = (10.0, 150.0)
"""Seconds for a connection, and between two bytes of an answer."""
PATIENCE = 60.0
"""Seconds for which a primary that does not answer is asked again: it may have been started anew."""
PAUSE = 1.0
BLOCK = 2**18
ROOT = "/+forkbuilder/work/"


class PrimaryClient:
    """Speaks for the ticket (or the offer) `ticket` to the primary at `url`. Threads may share it.

    All members raise WorkRefusedError, and InfrastructureError (`primary-unreachable`).
    """

    def __init__(self, url: str, ticket: str, stopped: Callable[[], bool] = lambda: False) -> None:
        self._root = f"{url.rstrip('/')}{ROOT}"
        self.url = url
        self.ticket = ticket
        self._stopped = stopped

    def take(self, announcement: dict[str, Any]) -> PrimaryClient:
        """Take the order of an offer; what speaks for the attempt."""
        answer = self._ask("POST", "take", json=announcement).json()
        return PrimaryClient(self.url, str(answer["ticket"]), self._stopped)

    def order(self) -> dict[str, Any]:
        """The order's document."""
        return cast("dict[str, Any]", self._ask("GET", "order").json())

    @contextmanager
    def source(self) -> Iterator[IO[bytes]]:
        """The archive of its source."""
        with self._ask("GET", "source", stream=True) as answer:
            answer.raw.decode_content = False
            yield cast("IO[bytes]", answer.raw)

    def log(self, data: bytes) -> None:
        """Append `data` to the log; nothing says that the worker lives."""
        self._ask("PUT", "log", data=data)

    def state(self, state: str) -> None:
        """The build is in `state` now."""
        self._ask("POST", "state", json={"state": state})

    def needs(self, requirements: tuple[str, ...]) -> None:
        """The build will install `requirements`."""
        self._ask("POST", "needs", json={"requirements": list(requirements)})

    def health(self, requirements: tuple[str, ...], constraints: tuple[str, ...]) -> dict[str, Any]:
        """What the indexes say of `requirements`."""
        document = {"requirements": list(requirements), "constraints": list(constraints)}
        return cast("dict[str, Any]", self._ask("POST", "health", json=document).json())

    def file(self, path: Path) -> None:
        """Send the file at `path`."""
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else _digest(file)
        self._ask("PUT", f"files/{path.name}", headers={"X-Sha256": sha256.hexdigest()}, upload=path)

    def done(self, facts: dict[str, str]) -> None:
        """All files are sent."""
        self._ask("POST", "done", json=facts)

    def failed(self, failure: dict[str, Any]) -> None:
        """The build failed."""
        self._ask("POST", "failed", json=failure)

    def handed_back(self) -> None:
        """Another worker has to build it."""
        self._ask("POST", "handed-back", json={})

    def _ask(self, method: str, what: str, *, upload: Path | None = None, **more: Any) -> requests.Response:
        until = time.monotonic() + PATIENCE
        url = f"{self._root}{self.ticket}/{what}"
        more["headers"] = {HEADER: str(next_hop()), **more.get("headers", {})}
        while (answer := _tried(method, url, upload, more)) is None:
            if time.monotonic() > until or self._stopped():
                what = f"The primary at {self.url} does not answer."
                step = "Look at --primary, and at the primary."
                raise InfrastructureError("primary-unreachable", what, next_step=step, retryable=True)
            time.sleep(PAUSE)
        return answer


def _tried(method: str, url: str, upload: Path | None, more: dict[str, Any]) -> requests.Response | None:
    """The answer; None when there is none, or it is that of something between, or of a server that starts."""
    try:
        answer = _sent(method, url, upload, more)
    except requests.RequestException:
        return None
    if answer.status_code >= requests.codes.internal_server_error:
        answer.close()
        return None
    return _judged(answer)


def _sent(method: str, url: str, upload: Path | None, more: dict[str, Any]) -> requests.Response:
    if upload is None:
        return requests.request(method, url, timeout=TIMEOUT, allow_redirects=False, **more)
    with upload.open("rb") as file:
        return requests.request(method, url, timeout=TIMEOUT, allow_redirects=False, data=file, **more)


def _judged(answer: requests.Response) -> requests.Response:
    if answer.status_code < requests.codes.multiple_choices:
        return answer
    with answer:
        try:
            message = str(answer.json()["message"])
        except (ValueError, KeyError, TypeError):
            message = f"The answer was {answer.status_code}."
        raise WorkRefusedError(answer.status_code, message)


def _digest(file: IO[bytes]) -> Any:
    hasher = hashlib.sha256()
    while block := file.read(BLOCK):
        hasher.update(block)
    return hasher
