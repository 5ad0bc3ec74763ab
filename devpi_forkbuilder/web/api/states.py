"""The state of pins as the HTTP API tells it: files from the index, the rest from the service's records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from devpi_forkbuilder.devpi.lookup import Pinned
from devpi_forkbuilder.devpi.releases import ReleaseFile
from devpi_forkbuilder.domain.simple.placeholders import NO_INTERPRETER
from devpi_forkbuilder.domain.states import SECONDS, State
from devpi_forkbuilder.errors import Kind
from devpi_forkbuilder.service.outlook import NOTHING, Outlook
from devpi_forkbuilder.service.records import Failure, Record

Link = Callable[[str], str]
"""Makes an absolute URL of a path below the server's root."""


def record_for(pinned: Pinned, records: Iterable[Record], python: str | None = None) -> Record | None:
    """The record that tells most about a pin: one whose work goes on, else the latest; `python` chooses a target.

    What has failed for a target joins work of its group, whoever asks for it; so that is its state meanwhile.
    """
    key = pinned.order.key.group
    group = [record for record in records if record.key.group == key]
    found = _telling(record for record in group if python in {None, record.key.python})
    if found is None or found.state is not State.FAILED:
        return found
    return _telling(record for record in group if record.state.running or record.state is State.QUEUED) or found


def _telling(records: Iterable[Record]) -> Record | None:
    return max(records, key=lambda record: (not record.state.ended, record.queued_at or 0), default=None)


def state_of(pinned: Pinned, record: Record | None) -> State:
    """Fitting files in the index say `built`, whatever the records say, unless more work is under way."""
    if record is not None and (record.state.running or record.state is State.QUEUED):
        return record.state
    if pinned.built:
        return State.BUILT
    if pinned.hopeless:
        return State.FAILED
    if record is not None and record.state is State.FAILED:
        return State.FAILED
    return State.WANTED


def log_path(one: Pinned, pinned: Iterable[Pinned]) -> str:
    """The path of a pin's build log below the server's root; `pinned` are all pins of its project.

    Where several of them have one commit, as in a repository of several projects, the path says the version.
    """
    pin = one.pin
    path = f"/{one.order.index}/+forks/{pin.name}/{pin.commit}/log"
    twins = [other for other in pinned if (other.pin.name, other.pin.commit) == (pin.name, pin.commit)]
    return f"{path}?version={quote(pin.version or '')}" if len(twins) > 1 else path


def states_as_json(
    pinned: Pinned, record: Record | None, log: str, link: Link, outlook: Outlook = NOTHING, worker: str = ""
) -> dict[str, Any]:
    """One object of `GET .../+forks`; `log` is the path of its log, `worker` builds it on another machine."""
    pin, state = pinned.pin, state_of(pinned, record)
    return {
        "project": pin.project,
        "version": pin.version,
        "url": pin.url,
        "commit": pin.commit,
        "subdirectory": pin.subdirectory,
        "state": state.value,
        "worker": worker or None,
        "targets": sorted({_target(file) for file in pinned.files}),
        "files": [_file(file, link) for file in pinned.files],
        "commit_time": record.commit_time if record is not None else None,
        "error": _error_of(pinned, record) if state is State.FAILED else None,
        "log_url": link(log) if record is not None and record.log else None,
        "queued_at": record.queued_at if record is not None else None,
        "started_at": record.started_at if record is not None else None,
        "finished_at": record.finished_at if record is not None else None,
        "retry_at": record.retry_at if record is not None and state is State.FAILED else None,
        "queue_position": outlook.position,
        "estimate": round(outlook.seconds, 1) if outlook.seconds is not None else None,
        "seconds": _seconds(record.seconds if record is not None else {}),
    }


def _target(file: ReleaseFile) -> str:
    if file.build.get("pure") == "yes":
        return "any"
    return "-".join(file.filename.removesuffix(".whl").rsplit("-", 3)[1:])


def _file(file: ReleaseFile, link: Link) -> dict[str, Any]:
    return {
        "filename": file.filename,
        "url": link(f"/{file.path}"),
        "sha256": file.sha256,
        "size": file.size,
        "requires_python": file.requires_python,
    }


def _error_of(pinned: Pinned, record: Record | None) -> dict[str, str] | None:
    if pinned.hopeless:
        message = f"No file fits {pinned.client.interpreter if pinned.client else 'the client'}, nor can one be built."
        return _error(Failure(Kind.REFUSED, NO_INTERPRETER, State.WANTED, message))
    return _error(record.error) if record is not None and record.error is not None else None


def _error(error: Failure) -> dict[str, Any]:
    return {
        "kind": error.kind.value,
        "stage": error.stage.value,
        "reference": error.reference,
        "message": error.message,
        "remedy": list(error.remedy),
    }


def _seconds(spent: Mapping[str, float]) -> dict[str, float | None]:
    return {name: round(spent[name], 3) if name in spent else None for name in SECONDS.values()}
