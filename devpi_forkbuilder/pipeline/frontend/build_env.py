"""Where a build's commands run: outside of the box what runs no code of projects, inside everything else.

*Supply* commands have the network and may write uv's cache, which all builds share. They are uv with wheels only, on
an environment that no project could have touched: nothing of an archive is executed. Commands *in the box* see the
work folder alone; with what they leave, no supply command has to do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devpi_forkbuilder.pipeline.frontend.interpreters import Interpreter
from devpi_forkbuilder.pipeline.process import runner
from devpi_forkbuilder.pipeline.process.command import MEBIBYTE, Command, Finished
from devpi_forkbuilder.pipeline.process.disk_quota import FolderGuard
from devpi_forkbuilder.pipeline.process.environment import SEARCH_PATH, build_environment, without_logins
from devpi_forkbuilder.pipeline.process.extra_tools import ToolFolders
from devpi_forkbuilder.pipeline.process.time_limits import Deadline
from devpi_forkbuilder.pipeline.process.watch import TransferWatch
from devpi_forkbuilder.pipeline.process.work_dir import WorkFolder
from devpi_forkbuilder.pipeline.protocols import Box, CancelledError, Sandbox

ANSWER_LIMIT = MEBIBYTE


@dataclass(frozen=True, slots=True)
class BuildTools:
    """What all builds of a server are made with. `cache` is uv's cache, out of every box's reach.

    `base` is the server's own environment; commands with the network get its proxies and certificates, nothing else.
    `folders` have programs for commands in the box.
    """

    uv: Path
    cache: Path
    sandbox: Sandbox
    base: Mapping[str, str]
    folders: ToolFolders = field(default_factory=ToolFolders)


@dataclass(frozen=True, slots=True)
class BuildConditions:
    """What one build's commands depend on: the interpreter, the commit's time (seconds since the epoch), KEY/VALUE
    pairs for the environment of the project's own code, and whether that code has the network.
    """

    interpreter: Interpreter
    epoch: int
    extra: tuple[tuple[str, str], ...] = ()
    network: bool = False


class BuildEnv:
    """Runs the commands of one build. `end` must be called, and ends what they left."""

    def __init__(
        self,
        folder: WorkFolder,
        equipment: BuildTools,
        circumstances: BuildConditions,
        deadline: Deadline,
        watch: TransferWatch,
    ) -> None:
        self.folder = folder
        self.interpreter = circumstances.interpreter
        self.watch = watch
        self._equipment, self._circumstances, self._deadline = equipment, circumstances, deadline
        self._uv = Path(os.path.realpath(equipment.uv))
        self._box: Box | None = None

    @property
    def network(self) -> bool:
        """Whether the project's own code has the network."""
        return self._circumstances.network

    def supply(self, arguments: tuple[str, ...], label: str, more: Mapping[str, str] | None = None) -> Finished:
        """Run uv with the network, the shared cache and `more` variables. No box may be open: see `end`."""
        if self._box is not None:
            msg = "code of the project may still run beside a supply command"
            raise RuntimeError(msg)
        home = str(self.folder.fresh(self.folder.root / "home"))
        env = self._environment(home, SEARCH_PATH, network=True)
        env |= {"UV_CACHE_DIR": str(self._equipment.cache), **(more or {})}
        return self._run(Command((str(self._uv), *arguments), env, self.folder.root, self._deadline.left(), label))

    def boxed_uv(self, arguments: tuple[str, ...], label: str, *, network: bool = False) -> Finished:
        """Run uv in the box, with a cache of this build's own; `arguments` use paths as `inside` gives them."""
        return self._boxed(str(self._uv), arguments, self.folder.box, label, network=network)

    def boxed_python(self, arguments: tuple[str, ...], cwd: Path, label: str, *, capture: bool = False) -> Finished:
        """Run the environment's Python in the box."""
        python = self.inside(self.folder.environment / "bin" / "python")
        return self._boxed(python, arguments, cwd, label, capture=capture)

    def inside(self, path: Path) -> str:
        """What `path`, in the box's folder, is called by commands in the box."""
        return self._opened().path(path)

    def fresh(self, name: str) -> Path:
        """An empty folder `name` in the box's, made while nothing runs that could put something else in its place."""
        self.end()
        return self.folder.fresh(self.folder.box / name)

    def end(self) -> None:
        """End everything that commands in the box left running; the next one gets a new box."""
        box, self._box = self._box, None
        if box is not None:
            box.end()

    def _opened(self) -> Box:
        if self._box is None:
            self.folder.fresh(self.folder.home)
            readable = (self._uv, self.interpreter.prefix, *self._equipment.folders.folders)
            self._box = self._equipment.sandbox.box(self.folder.box, readable=readable)
        return self._box

    def _boxed(
        self,
        program: str,
        arguments: tuple[str, ...],
        cwd: Path,
        label: str,
        *,
        capture: bool = False,
        network: bool = False,
    ) -> Finished:
        box = self._opened()
        network = network or self.network
        home = box.path(self.folder.home)
        path = f"{box.path(self.folder.environment / 'bin')}:{self._equipment.folders.search_path}"
        env = without_logins(self._environment(home, path, network=network))
        env["UV_CACHE_DIR"] = f"{home}/uv"
        command = Command(
            (program, *arguments),
            env | dict(self._circumstances.extra),
            cwd,
            self._deadline.left(),
            label,
            silence=self._deadline.limits.silence,
            capture=capture,
            capture_limit=ANSWER_LIMIT,
        )
        return self._run(box.wrap(command, network=network))

    def _environment(self, home: str, path: str, *, network: bool) -> dict[str, str]:
        base = self._equipment.base if network else {}
        env = build_environment(base, home, home, path, self._circumstances.epoch, network=network)
        # Files of the cache must never be the same files as those of an environment, which projects can write.
        return env | {"UV_LINK_MODE": "copy"}

    def _run(self, command: Command) -> Finished:
        guard = FolderGuard(self.folder.root, self._deadline.limits.folder, self.watch.cancelled)
        try:
            done = runner.run(command, log=self.watch.log, cancelled=guard.asked)
        except CancelledError:
            guard.judge()
            raise
        guard.judge_end()
        return done
