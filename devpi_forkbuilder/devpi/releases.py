"""Releases of an index: which files stand for which pin, and how a build's files get in.

A file's provenance is an entry `build` in devpi's log of the file: stored in the transaction that stores the file,
replicated and exported with it. No other database says what is built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from devpi_server.filestore import get_hashes
from devpi_server.log import thread_pop_log, thread_push_log
from packaging.version import Version

from devpi_forkbuilder.devpi.file_log import WHAT, add_build_entry
from devpi_forkbuilder.devpi.index_health import index_health
from devpi_forkbuilder.devpi.names import SEVEN, Rel
from devpi_forkbuilder.devpi.settings import is_forkbuilder, settings_of
from devpi_forkbuilder.devpi.simple.catalog import catalog_of
from devpi_forkbuilder.devpi.storage import need_room
from devpi_forkbuilder.domain.compat.requirement_closure import environment_of
from devpi_forkbuilder.domain.compat.targets import Client, ServerTargets, client_of_user_agent
from devpi_forkbuilder.domain.index_health import IndexHealth
from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.pins.settings import IndexSettings
from devpi_forkbuilder.domain.results import Artefact, Built
from devpi_forkbuilder.domain.versions import satisfies_pin
from devpi_forkbuilder.errors import InfrastructureError, MismatchError


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """A published file; `path` is relative to the server's root, `size` in bytes, or None on a replica without it."""

    filename: str
    path: str
    sha256: str
    size: int | None
    version: str
    requires_python: str | None
    requires_dist: tuple[str, ...] = ()
    build: Mapping[str, str] = field(default_factory=dict)

    def stands_for(self, pin: Pin) -> bool:
        """Whether the file was built from `pin`'s commit and folder, and as the version that the pin names."""
        same_source = (self.build.get("commit"), self.build.get("subdirectory", "")) == (
            pin.commit,
            pin.subdirectory or "",
        )
        built = self.build.get("built_version")
        return same_source and (built is None or satisfies_pin(Version(built), pin.release))

    def fits(self, client: Client | None) -> bool:
        """Whether it is a wheel that `client` can install; one that does not say what it runs takes any wheel."""
        return self.filename.endswith(".whl") and (client is None or client.accepts(self.filename))

    @property
    def made_by(self) -> str:
        """The interpreter that built it, as orders name it; empty when that was not noted."""
        return self.build.get("interpreter", "")


def built_files(stage: Any, project: str) -> Iterator[ReleaseFile]:
    """The files of a project (normalized name) on a stage, once for each build of ours that made them."""
    for version in stage.list_versions_perstage(project):
        store = stage.get_linkstore_perstage(project, version)
        for link in store.get_links(rel=Rel.ReleaseFile):
            for log in link.get_logs():
                if log.get("what") == WHAT:
                    yield _release_file(link, store.metadata, log)


def _release_file(link: Any, metadata: Mapping[str, Any], log: Mapping[str, Any]) -> ReleaseFile:
    entry = link.entry
    return ReleaseFile(
        filename=link.basename,
        path=link.relpath,
        sha256=link.hashes.get("sha256", ""),
        size=entry.file_size() if entry.file_exists() else None,
        version=link.version,
        requires_python=metadata.get("requires_python") or None,
        requires_dist=tuple(metadata.get("requires_dist") or ()),
        build={key: value for key, value in log.items() if isinstance(value, str)},
    )


def superseded_files(stage: Any, project: str, settings: IndexSettings) -> dict[str, str]:
    """File name to yank reason (PEP 592) for files built from commits that are no longer pinned."""
    pins = settings.pins_of(project)
    now = ", ".join(pin.commit7 for pin in pins) or "no commit"
    files = list(built_files(stage, project))
    current = {file.filename for file in files if any(file.stands_for(pin) for pin in pins)}
    return {
        file.filename: f"built from {file.build.get('commit', '')[:7]}, the index now pins {now}"
        for file in files
        if file.filename not in current
    }


class Releases:
    """The `Publisher` of the service, over devpi's store; each call is a transaction of its own.

    `offer` says what this server builds for, `needs` is as in `Lookup.needs`.
    """

    def __init__(
        self,
        xom: Any,
        server_targets: Callable[[], ServerTargets] = ServerTargets,
        needs: Callable[[Order, tuple[str, ...], str], tuple[Order, ...]] = lambda *_: (),
    ) -> None:
        self._xom = xom
        self._server_targets = server_targets
        self.needs = needs

    def index_health(
        self, order: Order, requirements: tuple[str, ...], constraints: tuple[str, ...], python: str
    ) -> IndexHealth:
        """See `Publisher.index_health`."""
        environment = environment_of(self._server_targets().client(python))
        return index_health(self._xom, order, requirements, constraints, environment)

    def covers(self, order: Order) -> bool:
        """Whether a published file serves this order already."""
        client = client_of_user_agent(order.python, self._server_targets())
        with self._xom.keyfs.read_transaction():
            stage = self._xom.model.getstage(order.index)
            if stage is None or not is_forkbuilder(stage):
                return False
            files = built_files(stage, order.pin.name)
            return any(file.stands_for(order.pin) and file.fits(client) for file in files)

    def publish(self, order: Order, built: Built) -> None:
        """Store all files of a build in one transaction; either all of them are visible, or none.

        Raises InfrastructureError when the pin is gone by now or the disk is full, MismatchError when another commit's
        file has the name.
        """
        need_room(Path(self._xom.config.server_path), sum(artefact.size for artefact in built.artefacts))
        tag = f"[forkbuilder {order.index} {order.pin.name}]"
        thread_push_log(tag)
        try:
            with self._xom.keyfs.write_transaction():
                stage = self._pinned_stage(order)
                provenance = _pinned_at(self._xom, order)
                for artefact in built.artefacts:
                    if not _has_source(stage, order, artefact):
                        _store(stage, order, artefact, replace(built, provenance={**built.provenance, **provenance}))
        finally:
            thread_pop_log(tag)

    def _pinned_stage(self, order: Order) -> Any:
        stage = self._xom.model.getstage(order.index)
        if stage is None or not is_forkbuilder(stage) or order.pin not in settings_of(stage).pins_of(order.pin.name):
            # not a fault of the fork, and not to be remembered: the same pin may come back
            raise InfrastructureError(
                "pin-gone",
                f"The index no longer pins {order.pin.project} at {order.pin.commit7}: the build was not published.",
                next_step="Nothing needs to be done.",
            )
        return stage


def _has_source(stage: Any, order: Order, artefact: Artefact) -> bool:
    """Whether `artefact` is a source distribution and the pin has one, from the build for another interpreter.

    Back ends do not make them twice alike, and the first one is as good: the wheel must not be lost for it.
    """
    if artefact.filename.endswith(".whl"):
        return False
    files = built_files(stage, order.pin.name)
    return any(file.stands_for(order.pin) and not file.filename.endswith(".whl") for file in files)


def _store(stage: Any, order: Order, artefact: Artefact, built: Built) -> None:
    """Store one file, or take the equal one that is there already: bytes under a name never change."""
    project = order.pin.name
    known = {key: value for key, value in artefact.metadata.items() if key in stage.metadata_keys}
    stage.set_versiondata({**known, "name": order.pin.project, "version": artefact.version})
    store = stage.get_mutable_linkstore_perstage(project, artefact.version)
    for link in store.get_links(rel=Rel.ReleaseFile, basename=artefact.filename):
        if link.hashes.get("sha256") != artefact.sha256:
            raise _name_taken(order, artefact, link)
        if not SEVEN:
            store._mark_dirty()  # devpi's own word for "this link's log changes"
        break
    else:
        with artefact.path.open("rb") as content:
            hashes = get_hashes(content)
            size = {"size": artefact.size} if SEVEN else {}
            link = stage.store_releasefile(project, artefact.version, artefact.filename, content, hashes=hashes, **size)
    if link.hashes.get("sha256") != artefact.sha256:
        raise InfrastructureError(
            "stored-differently", f"{artefact.filename} changed while it was stored.", next_step="Check the disk."
        )
    add_build_entry(store, link, _provenance(order, artefact, built))


def _name_taken(order: Order, artefact: Artefact, link: Any) -> MismatchError:
    commits = [log["commit"][:7] for log in link.get_logs() if log.get("what") == WHAT and "commit" in log]
    origin = f"commit {commits[0]}" if commits else "an upload"
    return MismatchError(
        "file-exists",
        f"{artefact.filename} is published already, from {origin}, with other content.",
        next_step=f"Give the fork at {order.pin.commit7} another version, or set fork_versions=stamped.",
    )


def _pinned_at(xom: Any, order: Order) -> dict[str, str]:
    """When the commit was pinned on the index, in seconds since the epoch, where that was seen."""
    catalog = catalog_of(xom)
    at = catalog.store.pinned_at(order.index, order.pin.name, order.pin.commit) if catalog is not None else None
    return {"pinned_at": f"{at:.0f}"} if at is not None else {}


def _provenance(order: Order, artefact: Artefact, built: Built) -> dict[str, str]:
    pin = order.pin
    return {
        **built.provenance,
        "commit": pin.commit,
        "url": pin.url,
        "subdirectory": pin.subdirectory or "",
        "pure": "yes" if artefact.pure else "no",
        "commit_time": str(built.commit_time),
    }
