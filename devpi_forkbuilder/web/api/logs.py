"""Build logs and placeholders: what a fork printed, always as plain text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from packaging.utils import canonicalize_name
from pyramid.response import FileResponse, Response

from devpi_forkbuilder.devpi.lookup import Pinned
from devpi_forkbuilder.devpi.requests import client_of, query
from devpi_forkbuilder.domain.simple.causes import short_cause
from devpi_forkbuilder.domain.simple.placeholders import (
    BUSY,
    CACHED_ONLY,
    NO_INTERPRETER,
    STAGE,
    is_placeholder_of,
    phrase,
)
from devpi_forkbuilder.domain.simple.replicas import REASONS, replica_phrase
from devpi_forkbuilder.web.api.states import log_path, record_for
from devpi_forkbuilder.web.api.views import ApiError, ForksView
from devpi_forkbuilder.web.waiting.busy import busy_retry_after

HEADERS = {
    # a fork's output is a stranger's text: no browser may take it for anything else
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "no-store",
}
TAIL = 16 * 1024
LINES = 10_000


class LogsView(ForksView):
    """The log of a pin's build, and the answer to a placeholder's download."""

    def log(self) -> Any:
        """The log as far as it has been written; `?tail=N` gives the last N lines, `Range` a part.

        It is the newest of the commit, or that of `?python=` and `?version=` (empty: of the pin without a version).
        """
        path = self._log_file()
        tail = query(self.request, "tail")
        if tail is None:
            response = FileResponse(path, self.request, content_type="text/plain", content_encoding=None)
            response.charset = "utf-8"
            response.conditional_response = True
        else:
            response = _text("\n".join(_last_lines(path, _number(tail))) + "\n")
        response.headers.update(HEADERS)
        return response

    def failed(self) -> Any:
        """424 with a reason phrase that pip and uv print, and the end of the log."""
        stage = self.request.matchdict["stage"]
        if not STAGE.fullmatch(stage):
            raise ApiError(404, "There is no such stage.")
        pinned = self._pinned("pkg_read")
        one = self._one(pinned)
        url = self.request.application_url + log_path(one, pinned)
        record = record_for(one, self.context.builds.records_of(self._index(), one.pin.name))
        forward = self.context.forward
        error = record.error if record is not None and stage not in {BUSY, CACHED_ONLY, NO_INTERPRETER} else None
        tail = self.context.builds.tail(record.key, TAIL).decode("utf-8", "replace") if record and error else ""
        cause = short_cause(error.reference, error.message, tail) if error is not None else ""
        again = busy_retry_after(self.context.builds.stats()) if stage == BUSY else 0
        if stage == NO_INTERPRETER:
            said = self._unservable(one, url)
        elif forward is not None and stage in REASONS:
            said = replica_phrase(one.pin, stage, forward.url)
        else:
            said = phrase(one.pin, stage, url, seconds=again, cause=cause)
        parts = [said]
        if error is not None:
            parts += [f"{error.kind.value}: {error.message}", "", tail]
        response = _text("\n".join(parts) + "\n")
        response.status = f"424 {said}"
        self.context.traffic.refuse(stage)
        if again:
            response.retry_after = again
        response.headers.update(HEADERS)
        return response

    def _unservable(self, one: Pinned, url: str) -> str:
        """What is said to a client that nothing built here fits: what it is, and what this server builds for."""
        client, server_targets, only = (
            client_of(self.request),
            self.context.lookup.server_targets(),
            one.order.recipe.pythons,
        )
        if only:
            server_targets = replace(
                server_targets, pythons=tuple(python for python in server_targets.pythons if python in only)
            )
        who = f"Python {client.interpreter} on {client.platform}" if client is not None else ""
        return phrase(one.pin, NO_INTERPRETER, url, client=who, offer=f"Python {server_targets}")

    def _one(self, pinned: tuple[Pinned, ...]) -> Pinned:
        """The pin of the request's project and commit; of several the one of the file's version, or without one."""
        commit, filename = self.request.matchdict["commit"], self.request.matchdict.get("filename", "")
        own = [one for one in pinned if one.pin.commit == commit]
        if not own:
            raise ApiError(404, f"The index no longer pins {self.request.matchdict['project']} at {commit[:7]}.")
        return min(own, key=lambda one: (not is_placeholder_of(filename, one.pin), one.pin.version is not None))

    def _log_file(self) -> Any:
        project, commit = canonicalize_name(self.request.matchdict["project"]), self.request.matchdict["commit"]
        self._pinned("pkg_read")
        records = self.context.builds.records_of(self._index(), project)
        own = [record for record in records if record.key.commit == commit and record.log]
        python = query(self.request, "python")
        version = query(self.request, "version")
        own = [one for one in own if python in {None, one.key.python} and version in {None, one.key.version}]
        if own:
            newest = max(own, key=lambda record: record.started_at or record.queued_at or 0)
            path = self.context.builds.log_path(newest.key)
            if path is not None and path.is_file():
                return path
        raise ApiError(404, f"There is no log of a build of {project} at {commit[:7]} on this server.")


def _text(text: str) -> Any:
    return Response(text, content_type="text/plain", charset="utf-8")


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ApiError(400, "tail is a number of lines.")
    return min(int(text), LINES)


def _last_lines(path: Any, count: int) -> list[str]:
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - count * 400 - TAIL))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return lines[-count:] if count else []
