"""The HTTP API under `/{user}/{index}/+forks`. No view waits or builds: work is handed to the service."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from packaging.utils import canonicalize_name
from pyramid.response import Response

from devpi_forkbuilder.devpi.lookup import Pinned
from devpi_forkbuilder.devpi.requests import READ, query
from devpi_forkbuilder.domain.compat.targets import Client, is_interpreter
from devpi_forkbuilder.service.outlook import NOTHING, Outlook
from devpi_forkbuilder.service.records import Record
from devpi_forkbuilder.web.api.states import log_path, record_for, states_as_json
from devpi_forkbuilder.web.context import REGISTRY, Context
from devpi_forkbuilder.web.miss.outcome import Miss
from devpi_forkbuilder.web.miss.read_ahead import read_ahead
from devpi_forkbuilder.web.same_origin import from_elsewhere

TYPE = "forkstates"


class ApiError(Exception):
    """An answer with a message, in devpi's form."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def json_answer(status: int, *, result: Any = None, message: str | None = None, kind: str = TYPE) -> Any:
    """A JSON response wrapped as devpi wraps its own: `type` and `result`, or `message`."""
    body: dict[str, Any] = {} if result is None else {"type": kind, "result": result}
    if message is not None:
        body["message"] = message
    text = json.dumps(body, indent=2) + "\n"
    response = Response(text, status=status, content_type="application/json", charset="utf-8")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


class ForksView:
    """The views; devpi's transaction is open around each."""

    def __init__(self, request: Any) -> None:
        self.request = request
        self.context: Context = request.registry[REGISTRY]

    def states(self) -> Any:
        """The states of all pins, or of one project's."""
        python = _python(query(self.request, "python"))
        pinned = self._pinned(READ, python)
        return json_answer(200, result=self._states(pinned, python))

    def build(self) -> Any:
        """Start; with `force` build again after a failure, with `diagnose` look for settings that help. Never waits."""
        self._own_browsers()
        options = self._options()
        return json_answer(202, result=self._states(self._ask(options), options["python"]))

    def _ask(self, options: Mapping[str, Any]) -> list[Pinned]:
        """Start what a request asks for. Raises ApiError."""
        pinned = [
            one for one in self._pinned("upload", options["python"]) if options["commit"] in {None, one.pin.commit}
        ]
        if not pinned:
            raise ApiError(404, f"The index does not pin {self.request.matchdict['project']} at that commit.")
        if self.context.cached_only and any(one.missing for one in pinned):
            raise ApiError(
                409, "This server never builds: it was started with --forkbuilder-cached-only or --offline-mode."
            )
        for one in pinned:
            orders = (one.order,) if one.missing else self.context.lookup.ahead(one)
            for order in orders:
                self.context.builds.ask(replace(order, diagnose=options["diagnose"]), force=options["force"])
        return pinned

    def _own_browsers(self) -> None:
        """Raises ApiError for what a page of another site makes a browser send."""
        if from_elsewhere(self.request):
            raise ApiError(403, "This request came from a page of another site. Use the page of this server.")

    def miss(self) -> Any:
        """What a simple page does, without the page."""
        options = self._options()
        pinned = [one for one in self._pinned(READ, options["python"]) if options["commit"] in {None, one.pin.commit}]
        if not self.context.cached_only:
            misses = [Miss(one, self.context.builds.ask(one.order)) for one in pinned if one.missing]
            read_ahead(self.context, misses)
        return json_answer(202, result=self._states(pinned, options["python"]))

    def _pinned(self, permission: str, python: str = "") -> tuple[Pinned, ...]:
        """The pins that the request is about; raises ApiError, or devpi's own 404 for an unknown index."""
        index, project = self._index(), self.request.matchdict.get("project")
        if not self.request.has_permission(permission, self.request.context.stage):
            raise ApiError(403, f"You need the permission {permission!r} on {index}.")
        user, name = index.split("/")
        wanted = canonicalize_name(project) if project is not None else None
        pinned = self.context.lookup.of_index(user, name, wanted, python)
        if pinned is None:
            raise ApiError(404, f"The index {index} is not of type forkbuilder: it has no forks.")
        if wanted is not None and not pinned:
            raise ApiError(404, f"The index {index} does not pin {project}.")
        return pinned

    def _states(self, pinned: Sequence[Pinned], python: str = "") -> list[dict[str, Any]]:
        project = canonicalize_name(self.request.matchdict["project"]) if "project" in self.request.matchdict else None
        records = self.context.builds.records_of(self._index(), project)
        by_group: dict[Any, list[Any]] = {}
        for record in records:
            by_group.setdefault(record.key.group, []).append(record)
        link = self.request.application_url.__add__
        of_project: dict[str, list[Pinned]] = {}
        for one in pinned:
            of_project.setdefault(one.pin.name, []).append(one)
        known = [(one, _record(one, by_group, python)) for one in pinned]
        return [
            states_as_json(
                one, record, log_path(one, of_project[one.pin.name]), link, self._outlook(record), self._worker(record)
            )
            for one, record in known
        ]

    def _worker(self, record: Record | None) -> str:
        farm = self.context.farm
        return farm.builder_of(record.key) if farm is not None and record is not None else ""

    def _outlook(self, record: Record | None) -> Outlook:
        return self.context.builds.outlook(record) if record is not None else NOTHING

    def _options(self) -> dict[str, Any]:
        """The request's JSON body: `commit`, `python`, `force`, `diagnose`."""
        try:
            body = json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError) as error:
            raise ApiError(400, f"The body is not JSON: {error}.") from error
        if not isinstance(body, dict) or set(body) - {"commit", "python", "force", "diagnose"}:
            raise ApiError(400, "The body is an object with commit, python, force and diagnose, all optional.")
        commit, force, diagnose = body.get("commit"), body.get("force", False), body.get("diagnose", False)
        if not isinstance(commit, str | None) or not isinstance(force, bool) or not isinstance(diagnose, bool):
            raise ApiError(400, "commit is a text, force and diagnose are true or false.")
        flags = {"force": force or diagnose, "diagnose": diagnose}
        return {"commit": commit, "python": _python(body.get("python")), **flags}

    def _index(self) -> str:
        return f"{self.request.matchdict['user']}/{self.request.matchdict['index']}"


def _record(one: Pinned, by_group: Mapping[Any, list[Record]], python: str) -> Record | None:
    return record_for(one, by_group.get(one.order.key.group, ()), one.order.python if python else None)


def _python(value: object) -> str:
    """An interpreter's name, `str` of a client, or empty. Raises ApiError."""
    if not value:
        return ""
    if not isinstance(value, str) or not (is_interpreter(value) or Client.parse(value)):
        raise ApiError(400, "python is an interpreter such as '3.12', or a target: '3.12 linux x86_64 glibc 2.36'.")
    return value


def api_error(error: ApiError, request: Any) -> Any:  # noqa: ARG001  (pyramid's exception view contract)
    """The answer for an ApiError."""
    return json_answer(error.status, message=str(error))
