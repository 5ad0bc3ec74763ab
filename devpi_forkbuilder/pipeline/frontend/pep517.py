"""A build front end (PEP 517) in two steps: the environment first, then the project's code in it, without network.

The wheel is built from the checkout. A source distribution, where one is wanted, is made from a second copy of it, so
that neither sees what the other left; when it fails, that is said in the log and the wheel counts.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from devpi_forkbuilder.domain.pins.pins import NAME
from devpi_forkbuilder.domain.requirements_files.project_identity import Identity
from devpi_forkbuilder.errors import BuildError, LimitsError
from devpi_forkbuilder.pipeline.frontend import hook_runner
from devpi_forkbuilder.pipeline.frontend.build_env import BuildEnv
from devpi_forkbuilder.pipeline.frontend.build_system import BuildSystem, asks_for_nothing, read_build_system
from devpi_forkbuilder.pipeline.frontend.index_tokens import Login
from devpi_forkbuilder.pipeline.frontend.out_of_memory import judge_memory
from devpi_forkbuilder.pipeline.frontend.requirements_env import Health, RequirementsEnv, supply, unknown

WHEEL_HOOK, SDIST_HOOK = "get_requires_for_build_wheel", "get_requires_for_build_sdist"
LOOK = "The end of the log shows why; 'uv build --wheel' in a checkout of the commit should show the same."


@dataclass(frozen=True, slots=True)
class BuildOutputs:
    """What to build: the project's folder (in the bench's `source`), constraints, index, and whether an sdist too.

    `pins_url` is an index that is asked first, `login` is for the one that is ours, `health` is for when requirements
    cannot be installed (see `Supplies`). `needs` is given each set of requirements before it is installed, and raises
    when that has to wait.
    """

    project: Path
    constraints: tuple[str, ...] = ()
    index_url: str = ""
    sdist: bool = False
    pins_url: str = ""
    needs: Callable[[tuple[str, ...]], None] = lambda _requirements: None
    login: Login | None = None
    health: Health = unknown


class ProjectError(BuildError):
    """The project's own code failed; `output` is the end of what it printed."""

    def __init__(self, reference: str, what: str, *, next_step: str = "", output: bytes = b"") -> None:
        super().__init__(reference, what, next_step=next_step)
        self.output = output


@dataclass(frozen=True, slots=True)
class Left:
    """What the build left: the folder with its wheel, that with its source distribution (None: there is none), and
    what the environment held, as sorted `name==version`. What is in the folders is whatever the project put there.
    """

    wheel: Path
    sdist: Path | None
    held: tuple[str, ...]


def build(build_env: BuildEnv, wanted: BuildOutputs) -> Left:
    """Build the project's wheel.

    When this returns or raises, none of the build's processes is left. Raises BuildError (those of
    `read_build_system` and `supply`, `hook-failed`, `build-failed`), LimitsError (`timeout`, `silence`),
    InfrastructureError and CancelledError, and what `wanted.needs` raises.
    """
    system = read_build_system(wanted.project)
    copy = _copied(build_env, wanted)
    try:
        requirements_env, held = _equip(build_env, system, _required(system, wanted), wanted)
        wheel = _build_wheel(build_env, wanted.project)
        sdist = None if copy is None else _try_sdist(build_env, system, requirements_env, replace(wanted, project=copy))
    finally:
        build_env.end()
    return Left(wheel, sdist, held)


def computed_identity(build_env: BuildEnv, wanted: BuildOutputs) -> Identity | None:
    """Return the project's name and version as its build back end computes them, without building the project.

    None: the back end has no hook for that (`prepare_metadata_for_build_wheel` is optional in PEP 517). The answer
    comes from the project's own code. Raises what `build` raises.
    """
    system = read_build_system(wanted.project)
    try:
        _equip(build_env, system, _required(system, wanted), wanted)
        answer = _call(build_env, system, wanted.project, hook_runner.METADATA_HOOK)
    finally:
        build_env.end()
    return _identity(answer)


def _required(system: BuildSystem, wanted: BuildOutputs) -> RequirementsEnv:
    """What the table requires, from the indexes of `wanted`."""
    indexes = (wanted.index_url, wanted.pins_url, wanted.login, wanted.health)
    return RequirementsEnv(system.requires, wanted.constraints, *indexes)


def _copied(build_env: BuildEnv, wanted: BuildOutputs) -> Path | None:
    if not wanted.sdist:
        return None
    source, target = build_env.folder.source, build_env.folder.box / "sdist-src"
    _copy_tree(source, target)
    return target / wanted.project.relative_to(source)


def _copy_tree(source: Path, target: Path) -> None:
    """Copy a checkout, links as links. Without recursion: its paths are short, and may have 500 levels all the same."""
    folders = [(str(source), str(target))]
    while folders:
        here, there = folders.pop()
        Path(there).mkdir()
        shutil.copystat(here, there)
        with os.scandir(here) as entries:
            for entry in entries:
                copy = f"{there}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    folders.append((entry.path, copy))
                else:
                    shutil.copy2(entry.path, copy, follow_symlinks=False)


def _equip(
    build_env: BuildEnv, system: BuildSystem, requirements_env: RequirementsEnv, wanted: BuildOutputs
) -> tuple[RequirementsEnv, tuple[str, ...]]:
    """The environment with what the table and then the back end require; when more is asked for, it is made anew:
    the back end's code has run in the first one and could have changed it.
    """
    project = wanted.project
    held = _supply(build_env, requirements_env, wanted)
    setuptools = _versions(held).get("setuptools")
    if asks_for_nothing(system, project, Version(setuptools) if setuptools else None):
        return requirements_env, held
    asked = _ask(build_env, system, project, WHEEL_HOOK)
    if _all_held(asked, held):
        return requirements_env, held
    requirements_env = replace(requirements_env, requires=(*requirements_env.requires, *asked))
    return requirements_env, _supply(build_env, requirements_env, wanted)


def _supply(build_env: BuildEnv, requirements_env: RequirementsEnv, wanted: BuildOutputs) -> tuple[str, ...]:
    wanted.needs(requirements_env.requires)
    return supply(build_env, requirements_env)


def _ask(build_env: BuildEnv, system: BuildSystem, project: Path, name: str) -> tuple[str, ...]:
    return _requirements(_call(build_env, system, project, name), name)


def _call(build_env: BuildEnv, system: BuildSystem, project: Path, name: str) -> bytes:
    """What the back end's hook answers, as JSON."""
    script = build_env.fresh("hook") / "hook.py"
    shutil.copyfile(hook_runner.__file__, script)
    arguments = (build_env.inside(script), name, system.backend, *system.backend_path)
    answered = build_env.boxed_python(arguments, project, f"the back end's {name}", capture=True)
    judge_memory(answered, f"The fork's build back end, in {name},")
    if answered.returncode:
        what = f"The fork's build back end {system.backend} failed in {name} with status {answered.returncode}."
        raise ProjectError("hook-failed", what, next_step=LOOK, output=answered.tail)
    return answered.stdout


def _identity(answer: bytes) -> Identity | None:
    """The name and the version in the answer of the metadata hook: anything may be in it."""
    try:
        found = json.loads(answer)
        if found == []:
            return None
        name, version = found
        if isinstance(name, str) and NAME.fullmatch(name) and isinstance(version, str):
            return Identity(name, version)
    except (ValueError, TypeError, RecursionError):
        pass
    what = "The fork's build back end writes metadata without a valid project name."
    raise BuildError("hook-failed", what, next_step=LOOK)


def _requirements(answer: bytes, name: str) -> tuple[str, ...]:
    """The hook's answer comes from the project's code: anything may be in it."""
    try:
        found = json.loads(answer)
        if not isinstance(found, list):
            raise TypeError
        return tuple(str(Requirement(line)) for line in found)
    except (ValueError, TypeError, AttributeError, RecursionError, InvalidRequirement):
        what = f"The fork's build back end answers {name} with something that is not a list of requirements."
        raise BuildError("hook-failed", what, next_step=LOOK) from None


def _all_held(asked: tuple[str, ...], held: tuple[str, ...]) -> bool:
    versions = _versions(held)
    return all(_is_held(Requirement(line), versions) for line in asked)


def _versions(held: tuple[str, ...]) -> dict[str, str]:
    return dict(pair.split("==", 1) for pair in held)


def _is_held(wanted: Requirement, versions: dict[str, str]) -> bool:
    """Whether an environment with `versions` surely meets `wanted`; extras, markers and URLs are left to uv."""
    if wanted.extras or wanted.marker or wanted.url:
        return False
    version = versions.get(canonicalize_name(wanted.name))
    return version is not None and wanted.specifier.contains(version, prereleases=True)


def _build_wheel(build_env: BuildEnv, project: Path) -> Path:
    out = build_env.fresh("out")
    done = build_env.boxed_uv(_arguments(build_env, "--wheel", project, out), "The build")
    judge_memory(done, "The fork's build")
    if done.returncode:
        what = f"The fork's build ended with status {done.returncode}."
        raise ProjectError("build-failed", what, next_step=LOOK, output=done.tail)
    return out


def _try_sdist(
    build_env: BuildEnv, system: BuildSystem, requirements_env: RequirementsEnv, wanted: BuildOutputs
) -> Path | None:
    project = wanted.project
    out = build_env.fresh("sdist-out")
    try:
        asked = _ask(build_env, system, project, SDIST_HOOK)
        if asked:
            _supply(build_env, replace(requirements_env, requires=(*requirements_env.requires, *asked)), wanted)
        done = build_env.boxed_uv(
            _arguments(build_env, "--sdist", project, out), "The build of the source distribution"
        )
        judge_memory(done, "The build of the source distribution")
        failed = f"status {done.returncode}" if done.returncode else ""
    except (BuildError, LimitsError) as error:
        failed = error.what
    if failed:
        build_env.watch.log.say(f"no source distribution: {failed}")
    return None if failed else out


def _arguments(build_env: BuildEnv, kind: str, project: Path, out: Path) -> tuple[str, ...]:
    """`--force-pep517`: the back end that was installed builds, not the one that uv has inside."""
    options = ("--force-pep517", "--no-build-isolation", "--no-create-gitignore", "--offline")
    where = ("--python", build_env.inside(build_env.folder.environment), "--out-dir", build_env.inside(out))
    return ("build", kind, *options, *where, build_env.inside(project))
