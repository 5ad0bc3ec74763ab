"""The page of an index's forks, `/{user}/{index}/+forks`, for who asks for HTML."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from typing import Any

from packaging.utils import canonicalize_name
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response

from devpi_forkbuilder.devpi.lookup import Pinned
from devpi_forkbuilder.devpi.requests import READ, forbidden, query
from devpi_forkbuilder.devpi.settings import settings_of, settings_serial
from devpi_forkbuilder.devpi.simple.catalog import catalog_of
from devpi_forkbuilder.devpi.simple.fact_store import Pinning
from devpi_forkbuilder.domain.pins.settings import notes_of
from devpi_forkbuilder.service.records import Record
from devpi_forkbuilder.web.api.states import log_path
from devpi_forkbuilder.web.api.views import ForksView
from devpi_forkbuilder.web.html.render import page, partial_page, row_html
from devpi_forkbuilder.web.html.rows import ACTIVE, ORDER, Known, PinRow, row_of, sort_key

STARTED = f"{time.time_ns():x}"
"""Which run of the server a page is of: changes are counted from its start."""
MOST_COLUMNS = 8
HTML = "Accept:.*text/html"
"""Only who names HTML: `*/*`, as curl sends it, gets JSON."""


class ForksPage(ForksView):
    """Pages about the pins of an index; devpi's transaction is open around each."""

    def index_page(self) -> Any:
        """All pins of the index, or with `?since=` those that changed, for the script."""
        if (denied := self._denied()) is not None:
            return denied
        token = self._token()
        since = query(self.request, "since")
        if since is not None:
            return self._changed(since, token)
        rows = self.rows(self._pinned(READ))
        return page(self.request, "forks", f"Forks of {self._index()}", **self._values(rows, token))

    def again(self) -> Any:
        """The button of a pin: build it, and show its page. Browsers ask for a login first where it takes one."""
        self._own_browsers()
        if self.request.identity is None and not self.request.has_permission("upload", self.request.context.stage):
            return forbidden(self.request)
        commit = str(self.request.POST.get("commit", ""))
        pinned = self._ask({"commit": commit, "python": "", "force": True, "diagnose": False})
        path = log_path(pinned[0], pinned)
        return HTTPSeeOther(location=f"{self.request.application_url}{path}")

    def _values(self, rows: Sequence[PinRow], token: str, names: Container[str] | None = None) -> dict[str, Any]:
        """What the templates need; of `names` alone, where they are given, rows are made."""
        wanted, chosen = (query(self.request, "q") or "").strip(), query(self.request, "state") or ""
        shown = [row for row in rows if _matches(row, wanted) and chosen in {"", row.word}]
        if names is not None:
            shown = [row for row in rows if row.name in names]
        columns, may_build = _columns(rows), self.may_build()
        return {
            "table_body": "".join(row_html(row, tuple(columns), may_build) for row in sorted(shown, key=sort_key)),
            "shown": len(shown),
            "index": self._index(),
            "url": f"{self.request.application_url}/{self._index()}/+forks",
            "simple": f"{self.request.application_url}/{self._index()}/+simple/",
            "columns": columns,
            "totals": totals(rows),
            "pins": len(rows),
            "token": token,
            "live": any(row.active for row in rows),
            "q": wanted,
            "chosen": chosen,
            "notes": list(notes_of(settings_of(self.request.context.stage))),
        }

    def rows(self, pinned: Sequence[Pinned]) -> list[PinRow]:
        """The rows of these pins."""
        states = self._states(pinned)
        by_group: dict[Any, list[Record]] = {}
        project = canonicalize_name(self.request.matchdict["project"]) if "project" in self.request.matchdict else None
        for record in self.context.builds.records_of(self._index(), project):
            by_group.setdefault(record.key.group, []).append(record)
        history = self._history()
        now, link = time.time(), self.request.application_url.__add__
        return [
            row_of(
                one,
                state,
                log_path(one, [other for other in pinned if other.pin.name == one.pin.name] if project else (one,)),
                Known(by_group.get(one.order.key.group, ()), history.get(one.pin.name, ()), now, link),
            )
            for one, state in zip(pinned, states, strict=True)
        ]

    def may_build(self) -> bool:
        """Whether to offer builds: to users who may start them, and without a login. The server builds, too."""
        xom, stage = self.request.registry["xom"], self.request.context.stage
        if self.context.cached_only or getattr(xom.config.args, "forkbuilder_read_only", False):
            return False
        return self.request.identity is None or bool(self.request.has_permission("upload", stage))

    def _changed(self, since: str, token: str) -> Any:
        """The rows that changed; 204: none; 205: load the page anew."""
        started, _, rest = since.partition(".")
        settings, _, count = rest.partition(".")
        if [started, settings] != token.split(".")[:2] or not count.isdigit():
            return Response(status=205)
        names = set(self.context.builds.changes.since(int(count), self._index()))
        names |= {record.key.project for record in self._records() if record.state.value in ACTIVE}
        if not names:
            return Response(status=204)
        rows = self.rows(self._pinned(READ))
        return partial_page(self.request, "forks_changed", **self._values(rows, token, names))

    def _records(self) -> Iterable[Record]:
        return self.context.builds.records_of(self._index())

    def _token(self) -> str:
        """What has been shown: this run of the server, the index's settings, and the number of the latest change."""
        settings = settings_serial(self.request.context.stage)
        return f"{STARTED}.{settings}.{self.context.builds.changes.token()}"

    def _history(self) -> dict[str, list[Pinning]]:
        catalog, found = catalog_of(self.request.registry["xom"]), dict[str, list[Pinning]]()
        for entry in catalog.store.pinnings(self._index()) if catalog is not None else ():
            found.setdefault(entry.project, []).append(entry)
        return found

    def _denied(self) -> Any | None:
        """The answer to users who may not read: the browser asks for a login."""
        if self.request.has_permission(READ, self.request.context.stage):
            return None
        return forbidden(self.request)


def totals(rows: Iterable[PinRow]) -> list[tuple[str, int]]:
    """How many pins are in each state that there is."""
    count = Counter(row.word for row in rows)
    return [(word, count[word]) for word in ORDER if count[word]]


def _matches(row: PinRow, wanted: str) -> bool:
    return all(
        word in f"{row.pin.project} {row.repository} {row.pin.commit}".lower() for word in wanted.lower().split()
    )


def _columns(rows: Iterable[PinRow]) -> list[str]:
    """The targets that any pin has, `any` first; where there are too many, none: each row lists its own."""
    found = {target for row in rows for target, _ in row.cells}
    columns = sorted(found, key=lambda name: (name != "any", name == "source", len(name), name))
    return columns if len(columns) <= MOST_COLUMNS else []
