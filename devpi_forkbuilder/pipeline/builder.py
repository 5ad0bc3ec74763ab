"""The pipeline put together: from an order to checked files, in a folder that is gone afterwards."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from devpi_forkbuilder import __version__
from devpi_forkbuilder.domain.compat.targets import ServerTargets
from devpi_forkbuilder.domain.index_health import IndexHealth
from devpi_forkbuilder.domain.pins.orders import Order, Versions
from devpi_forkbuilder.domain.requirements_files.project_identity import Identity
from devpi_forkbuilder.domain.results import Artefact, Built
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.domain.versions import stamp
from devpi_forkbuilder.errors import BuildError, InfrastructureError, LimitsError, MismatchError
from devpi_forkbuilder.pipeline import diagnosis
from devpi_forkbuilder.pipeline.artifacts.collect import collect, the_one
from devpi_forkbuilder.pipeline.artifacts.manylinux import retag_linux_wheel
from devpi_forkbuilder.pipeline.artifacts.match_pin import agree
from devpi_forkbuilder.pipeline.artifacts.restamp import stamp_wheel
from devpi_forkbuilder.pipeline.artifacts.sdist import artefact_of_sdist, repack_sdist
from devpi_forkbuilder.pipeline.artifacts.wheel import Wheel, artefact_of, read_wheel
from devpi_forkbuilder.pipeline.build_source import BuildSource
from devpi_forkbuilder.pipeline.checkout.checkout import Checkout
from devpi_forkbuilder.pipeline.frontend import pep517
from devpi_forkbuilder.pipeline.frontend.build_env import BuildConditions, BuildEnv, BuildTools
from devpi_forkbuilder.pipeline.frontend.index_tokens import IndexTokens
from devpi_forkbuilder.pipeline.frontend.interpreters import Interpreter, Interpreters
from devpi_forkbuilder.pipeline.frontend.pep517 import BuildOutputs, Left, ProjectError
from devpi_forkbuilder.pipeline.process.command import MEBIBYTE
from devpi_forkbuilder.pipeline.process.disk_space import FLOOR, FULL, LowestSpace, check_space, out_of_space, space_of
from devpi_forkbuilder.pipeline.process.programs import Tools
from devpi_forkbuilder.pipeline.process.time_limits import BuildLimits, Deadline
from devpi_forkbuilder.pipeline.process.watch import TransferWatch
from devpi_forkbuilder.pipeline.process.work_dir import WorkFolder, owner_of, sweep_leftovers, work_folder
from devpi_forkbuilder.pipeline.protocols import BuildProgress, LogSink
from devpi_forkbuilder.pipeline.sandbox.cgroup_box import bounded

ARTEFACT_LIMIT = 1024 * MEBIBYTE


@dataclass(frozen=True, slots=True)
class SpaceWatch:
    """A Progress that looks at the disk whenever it is asked whether the build should end."""

    progress: BuildProgress
    space: LowestSpace

    @property
    def log(self) -> LogSink:
        """See `Progress.log`."""
        return self.progress.log

    def enter(self, state: State) -> None:
        """See `Progress.enter`."""
        self.progress.enter(state)

    def commit_time(self, seconds: int) -> None:
        """See `Progress.commit_time`."""
        self.progress.commit_time(seconds)

    def cancelled(self) -> bool:
        """See `Progress.cancelled`."""
        return self.space.cancelled()

    def needs(self, requirements: tuple[str, ...], python: str) -> None:
        """See `Progress.needs`."""
        self.progress.needs(requirements, python)

    def index_health(self, requirements: tuple[str, ...], constraints: tuple[str, ...], python: str) -> IndexHealth:
        """See `Progress.index_health`."""
        return self.progress.index_health(requirements, constraints, python)


@dataclass(frozen=True, slots=True)
class WheelBuilder:
    """Builds orders (the protocol `Builder`), several at once if asked to.

    `work` is the folder for work folders; `free_floor`, in bytes, is the disk space below which no build starts;
    `source` is where files come from; `index_tokens` let builds read the index that has their pin.
    """

    work: Path
    tools: Tools
    interpreters: Interpreters
    source: BuildSource
    equipment: BuildTools
    limits: BuildLimits = field(default_factory=BuildLimits)
    free_floor: int = FLOOR
    index_tokens: IndexTokens = field(default_factory=IndexTokens)

    @property
    def identity(self) -> str:
        """Tools and tier; a remembered failure may be tried again when it changes."""
        more = [f"tools {folder}" for folder in self.equipment.folders.folders]
        return ", ".join((self.tools.identity, f"sandbox {self.equipment.sandbox.name}", *more))

    def sweep(self) -> tuple[Path, ...]:
        """Remove what builds of a server that crashed have left; returns what was removed."""
        return (*sweep_leftovers(self.work), *self.source.sweep())

    def server_targets(self) -> ServerTargets:
        """See `Builder.offer`."""
        return self.interpreters.server_targets()

    @contextlib.contextmanager
    def build(self, order: Order, progress: BuildProgress) -> Iterator[Built]:
        """See `Builder.build`."""
        with contextlib.ExitStack() as stack:
            with disk_watched(self.work, progress) as watched:
                folder = stack.enter_context(work_folder(self.work, owner_of(os.getpid())))
                source, built = self._make(order, watched, folder)
            yield built
            # clients have their files by now: the archive takes as long again for a large tree
            self.source.keep(order, source, built, progress)

    def identify(self, order: Order, progress: BuildProgress) -> Identity:
        """See `Builder.identify`."""
        with disk_watched(self.work, progress) as watched, work_folder(self.work, owner_of(os.getpid())) as folder:
            interpreter, source = self._fetch(order, watched, folder)
            found = pep517.computed_identity(*self._prepared(order, watched, folder, source, interpreter))
            if found is None:
                left = self._build(order, watched, folder, source, interpreter)
                wheel = _read_collected(folder, left)
                found = Identity(wheel.project, str(wheel.version))
            return found

    def _fetch(self, order: Order, progress: BuildProgress, folder: WorkFolder) -> tuple[Interpreter, Checkout]:
        interpreter = self.interpreters.find(order.python)
        progress.enter(State.FETCHING)
        check_space(folder.root, self.free_floor)
        source = self.source.place(order, folder.source, progress)
        progress.commit_time(source.commit_time)
        progress.enter(State.BUILDING)
        check_space(folder.root, self.free_floor)
        return interpreter, source

    def _make(self, order: Order, progress: BuildProgress, folder: WorkFolder) -> tuple[Checkout, Built]:
        interpreter, source = self._fetch(order, progress, folder)
        try:
            left = self._build(order, progress, folder, source, interpreter)
        except ProjectError as error:
            if not order.diagnose:
                raise diagnosis.hinted(order, error) from error
            attempt = partial(self._attempt, progress, folder)
            pythons = self.interpreters.server_targets().pythons
            raise diagnosis.diagnose(order, error, attempt, pythons, progress.log.say) from error
        progress.enter(State.CHECKING)
        known = self._provenance(order, source, interpreter, left)
        fix = partial(self._repaired, progress, folder, source)
        built = _checked(order, progress, folder, source, left, known, fix)
        self.source.judge_version(order, source, built.provenance["built_version"])
        return source, built

    def _build(
        self, order: Order, progress: BuildProgress, folder: WorkFolder, source: Checkout, interpreter: Interpreter
    ) -> Left:
        return pep517.build(*self._prepared(order, progress, folder, source, interpreter))

    def _prepared(
        self, order: Order, progress: BuildProgress, folder: WorkFolder, source: Checkout, interpreter: Interpreter
    ) -> tuple[BuildEnv, BuildOutputs]:
        """Where the project's code will run, and what is wanted of it."""
        progress.log.say(f"building with {_called(interpreter)} in {self.equipment.sandbox.name}")
        variables = self.source.variables(order, source, watch := TransferWatch(progress.log, progress.cancelled))
        if order.recipe.network:
            progress.log.say("fork_build_network: the project's own code has the network")
        extra = (*variables, *order.recipe.env)
        circumstances = BuildConditions(interpreter, source.commit_time, extra, order.recipe.network)
        build_env = BuildEnv(folder, self.equipment, circumstances, Deadline(self.limits), watch)
        wanted = BuildOutputs(
            project=source.project,
            constraints=order.recipe.constraints,
            index_url=order.requirements_url,
            pins_url=order.pins_url,
            needs=lambda requirements: progress.needs(requirements, interpreter.name),
            health=lambda requirements, constraints: progress.index_health(requirements, constraints, interpreter.name),
            sdist=order.versions is Versions.PLAIN,
            login=partial(self.index_tokens.issue, order.index),
        )
        return build_env, wanted

    def _attempt(self, progress: BuildProgress, folder: WorkFolder, order: Order) -> None:
        """Build and check `order` in what an earlier build has used, and keep nothing of it."""
        folder.fresh(folder.source)
        source = self.source.place(order, folder.source, progress)
        left = self._build(order, progress, folder, source, self.interpreters.find(order.python))
        _checked(order, progress, folder, source, left, {}, partial(self._repaired, progress, folder, source))

    def _repaired(self, progress: BuildProgress, folder: WorkFolder, source: Checkout, wheel: Wheel) -> Path:
        watch, box = TransferWatch(progress.log, progress.cancelled), folder.fresh(folder.root / "audit")
        into = folder.fresh(folder.root / "repaired")
        return retag_linux_wheel(wheel, self.equipment.sandbox, box, into, source.commit_time, watch)

    def _provenance(self, order: Order, source: Checkout, interpreter: Interpreter, left: Left) -> dict[str, str]:
        return {
            "commit": source.commit,
            "tree": source.tree,
            "python": _called(interpreter),
            "interpreter": interpreter.name,
            "uv": self.tools.uv.version,
            **self.source.provenance,
            "sandbox": self.equipment.sandbox.name,
            "sandbox_program": self.equipment.sandbox.origin,
            "bounded": " ".join(bounded(self.equipment.sandbox)),
            "network": "yes" if order.recipe.network else "no",
            "commit_on_branch": "unchecked" if order.recipe.unreachable else "yes",
            "requires": " ".join(left.held),
            "plugin": __version__,
        }


@contextlib.contextmanager
def disk_watched(work: Path, progress: BuildProgress) -> Iterator[SpaceWatch]:
    """`progress` that looks at the disk of the folder `work` too; failures that come from a full one say so.

    Raises InfrastructureError (`disk-full`, `disk-failed`) instead of what the faults of a disk look like.
    """
    space = LowestSpace(work, progress.cancelled)
    try:
        yield SpaceWatch(progress, space)
    except (BuildError, MismatchError, LimitsError) as error:
        if found := space.scarce():
            raise out_of_space(found, error.what) from error
        raise
    except OSError as error:
        if error.errno in FULL:
            raise out_of_space(space_of(work), f"{error.strerror}.") from error
        what = f"A file of the build could not be read or written: {error.strerror}."
        raise InfrastructureError("disk-failed", what, next_step="Check the server's disk.") from error


def _called(interpreter: Interpreter) -> str:
    return f"{interpreter.implementation} {interpreter.version}"


def _checked(
    order: Order,
    progress: BuildProgress,
    folder: WorkFolder,
    source: Checkout,
    left: Left,
    provenance: dict[str, str],
    fix: Callable[[Wheel], Path],
) -> Built:
    """What the build left, copied out of its reach, judged, and given its tags and its version."""
    pin = order.pin
    wheel = _read_collected(folder, left)
    agree(wheel, pin)
    path = fix(wheel)
    if order.versions is Versions.STAMPED:
        version = stamp(wheel.version, source.commit_time, pin.commit)
        path = stamp_wheel(path, version, folder.fresh(folder.root / "stamped"), source.commit_time)
    artefacts = (artefact_of(path, pin), *_sdists(order, progress, folder, source, left))
    known = {**provenance, "url": pin.url, "built_version": str(wheel.version)}
    return Built(artefacts, source.commit_time, known)


def _read_collected(folder: WorkFolder, left: Left) -> Wheel:
    """The wheel that the build left, copied out of its reach and judged."""
    collected = folder.fresh(folder.root / "collected")
    return read_wheel(the_one(collect(left.wheel, collected, suffix=".whl", limit=ARTEFACT_LIMIT), suffix=".whl"))


def _sdists(
    order: Order, progress: BuildProgress, folder: WorkFolder, source: Checkout, left: Left
) -> tuple[Artefact, ...]:
    if left.sdist is None:
        return ()
    suffix = ".tar.gz"
    collected = folder.fresh(folder.root / "collected-sdist")
    found = collect(left.sdist, collected, suffix=suffix, limit=ARTEFACT_LIMIT)
    repacked = repack_sdist(the_one(found, suffix=suffix), folder.fresh(folder.root / "repacked"), source.commit_time)
    progress.log.say(f"source distribution {repacked.name}")
    return (artefact_of_sdist(repacked, order.pin),)
