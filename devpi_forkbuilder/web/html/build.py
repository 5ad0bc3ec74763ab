"""The page of one build: where the log and state URLs of an installer's error lead in a browser."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from pyramid.response import Response

from devpi_forkbuilder.devpi.lookup import Pinned
from devpi_forkbuilder.devpi.requests import READ, query
from devpi_forkbuilder.domain.remedies import suggested, suggested_lines
from devpi_forkbuilder.domain.states import SECONDS, State
from devpi_forkbuilder.service.overview import Overview
from devpi_forkbuilder.service.records import Record
from devpi_forkbuilder.web.api.logs import LogsView
from devpi_forkbuilder.web.api.states import log_path, record_for
from devpi_forkbuilder.web.html.forks import ForksPage
from devpi_forkbuilder.web.html.log_text import LogPart, failing_of, lines_as_html, read_part
from devpi_forkbuilder.web.html.render import HEADERS, page, part
from devpi_forkbuilder.web.html.rows import PinRow
from devpi_forkbuilder.web.html.sentences import duration

RAW = "raw"
NO_LOG = LogPart((), 0, 0, 0)


class BuildPage(ForksPage):
    """The page of a pin's build, and what its script asks for."""

    def project_page(self) -> Any:
        """The page of the project's only pin, or the list of its pins."""
        if (denied := self._denied()) is not None:
            return denied
        pinned = self._pinned(READ)
        if len(pinned) == 1:
            return self._page(pinned[0], pinned)
        values = self._values(self.rows(pinned), self._token())
        return page(self.request, "forks", f"{self.request.matchdict['project']} on {self._index()}", **values)

    def log_page(self) -> Any:
        """The page; the log itself for `?raw`, for a part of it, and of a commit that was pinned before."""
        if (denied := self._denied()) is not None:
            return denied
        asked = {"tail", RAW} & set(self.request.GET) or self.request.range is not None
        pinned = self._pinned(READ)
        own = [one for one in pinned if one.pin.commit == self.request.matchdict["commit"]]
        if asked or not own:
            return LogsView(self.request).log()
        return self._page(self._chosen(own), pinned)

    def live(self) -> Any:
        """What the script asks for twice a second: the head of the page, and the lines since those that it has."""
        if (denied := self._denied()) is not None:
            return denied
        pinned = self._pinned(READ)
        own = [one for one in pinned if one.pin.commit == self.request.matchdict["commit"]]
        if not own:
            return Response(status=410)
        one = self._chosen(own)
        record, start = self._record(one), _number(query(self.request, "from"))
        path = self._path(record)
        log, anew = _since(path, start, _number(query(self.request, "changed")), ended=_ended(record))
        values = self._values_of(one, pinned, record, log if anew else self._whole(record))
        body = {
            "head": part("build_head", **values),
            "log": lines_as_html(log.lines),
            "anew": anew,
            "next": log.end,
            "changed": log.changed,
            "live": values["live"],
        }
        response = Response(json.dumps(body), content_type="application/json", charset="utf-8")
        response.headers.update({**HEADERS, "Cache-Control": "no-store"})
        return response

    def _page(self, one: Pinned, pinned: Sequence[Pinned]) -> Any:
        record = self._record(one)
        log = self._whole(record)
        values = self._values_of(one, pinned, record, log)
        failing = values["failing"]
        values["log"] = lines_as_html(log.lines, failing.number if failing is not None else None)
        return page(self.request, "build", f"{one.pin.project} on {self._index()}", **values)

    def _values_of(self, one: Pinned, pinned: Sequence[Pinned], record: Record | None, log: LogPart) -> dict[str, Any]:
        [row] = self.rows([one])
        link = self.request.application_url.__add__
        url = link(log_path(one, pinned))
        failed = row.word == State.FAILED.value
        return {
            "row": row,
            "index": self._index(),
            "index_url": link(f"/{self._index()}/+forks"),
            "raw": f"{url}{'&' if '?' in url else '?'}{RAW}",
            "live_url": url.replace(f"{one.pin.commit}/log", f"{one.pin.commit}/live", 1),
            "stages": _stages(row),
            "why": why_waiting(self.context.builds.overview(), record),
            "failing": failing_of(log.lines) if failed else None,
            "remedy": _remedy(one, row, log) if failed else None,
            "end": log.end,
            "changed": log.changed,
            "cut": log.start > 0,
            "live": row.active,
            "may_build": self.may_build(),
            "attempts": record.attempts if record is not None else 0,
        }

    def _chosen(self, own: Sequence[Pinned]) -> Pinned:
        """Of the pins of one commit the one of `?version=`, or without a version."""
        version = query(self.request, "version")
        return min(own, key=lambda one: ((one.pin.version or "") != version, one.pin.version is not None))

    def _record(self, one: Pinned) -> Record | None:
        project = canonicalize_name(self.request.matchdict["project"])
        return record_for(one, self.context.builds.records_of(self._index(), project), query(self.request, "python"))

    def _path(self, record: Record | None) -> Path | None:
        path = self.context.builds.log_path(record.key) if record is not None and record.log else None
        return path if path is not None and path.is_file() else None

    def _whole(self, record: Record | None) -> LogPart:
        path = self._path(record)
        return read_part(path, last=_ended(record)) if path is not None else NO_LOG


def why_waiting(overview: Overview, record: Record | None) -> str:
    """Why a build has not begun, as a sentence; empty when it has."""
    entry = overview.waiting_for(record.key) if record is not None else None
    if entry is None:
        return ""
    if entry.needs:
        names = " and ".join(sorted({key.project for key in entry.needs}))
        return f"It requires {names}, pinned on this index, which is built first."
    if entry.held:
        return "The same pin is being built for another interpreter; two builds of one pin never run at once."
    if entry.spare:
        return "Nobody has asked for it yet: builds that somebody waits for come first."
    before = entry.position - 1
    queue = f" and {before} other {'build is' if before == 1 else 'builds are'} before it" if before else ""
    busy = len(overview.running)
    return f"{busy} of {overview.workers} workers {'is' if busy == 1 else 'are'} busy{queue}."


def _stages(row: PinRow) -> list[dict[str, str]]:
    """The stages in turn: the name, the time as text, and whether it is done, runs, failed or is still to come."""
    names = list(SECONDS.values())
    current = next((name for state, name in SECONDS.items() if state.value == row.word), None)
    failed = (row.state["error"] or {}).get("stage")
    broken = next((name for state, name in SECONDS.items() if state.value == failed), None)
    found = []
    for name in names:
        seconds = row.state["seconds"][name]
        look = (
            "failed" if name == broken else "active" if name == current else "done" if seconds is not None else "open"
        )
        found.append({"name": name, "look": look, "text": duration(seconds) if seconds is not None else ""})
    return found


def _remedy(one: Pinned, row: PinRow, log: LogPart) -> dict[str, Any] | None:
    """The lines of settings that make it build, or that often help against what the log says."""
    tried = tuple((row.state["error"] or {}).get("remedy", ()))
    lines = tried or suggested_lines(one.pin.project, suggested("\n".join(log.lines).encode())[:1])
    if not lines:
        return None
    commands = [f"devpi index {one.order.index} '{line.replace(': ', '+=', 1)}'" for line in lines]
    return {"tried": bool(tried), "lines": lines, "commands": commands}


def _since(path: Path | None, start: int, changed: int, *, ended: bool) -> tuple[LogPart, bool]:
    """The lines after byte `start`, or all anew where the file was begun again or written over (a log at its limit)."""
    if path is None:
        return NO_LOG, start > 0
    found = path.stat()
    over = found.st_size < start or (found.st_size == start and found.st_mtime_ns != changed and changed > 0)
    log = read_part(path, 0 if over else start, last=ended)
    return log, over or log.start > start


def _ended(record: Record | None) -> bool:
    return record is None or record.state.ended or record.state is State.WANTED


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 20 else 0
