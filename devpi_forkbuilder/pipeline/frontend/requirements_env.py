"""The environment that a project's own code will run in: made anew, filled from an index, listed.

uv states how it failed by its exit status: 1 when requirements cannot be met, 2 when it could not do its work (its
manual, "Exit codes").
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from devpi_forkbuilder.domain.index_health import IndexHealth
from devpi_forkbuilder.domain.pins.pins import NAME
from devpi_forkbuilder.errors import BuildError, InfrastructureError
from devpi_forkbuilder.pipeline.frontend.build_env import BuildEnv
from devpi_forkbuilder.pipeline.frontend.index_tokens import USER, Login
from devpi_forkbuilder.pipeline.process.command import Finished

UNMET = 1
OWN = "forks"
"""The name of this server's own index among uv's."""
PAUSES = (0.5, 2.0)
"""Seconds between tries to install what is required."""
LISTED = 500
FROM_SOURCE = "Requirements that have no wheel are built, by their own code, only for projects in fork_build_network."
LOOK_AT_INDEX = "Check the server's network, proxy and certificates for it; it is tried again by itself."
HINT = "fork_build_constraints can hold a requirement back, for example to an older release that still fits."


Health = Callable[[tuple[str, ...], tuple[str, ...]], IndexHealth]
"""What the indexes say of requirements under constraints, both as PEP 508 lines."""


def unknown(_requirements: tuple[str, ...], _constraints: tuple[str, ...]) -> IndexHealth:
    """Return that nothing is known: the `Health` where nobody can ask."""
    return IndexHealth()


@dataclass(frozen=True, slots=True)
class RequirementsEnv:
    """What an environment gets: PEP 508 lines, constraint lines, and the simple index (empty: the public one).

    `pins_url`, if there is one, is an index whose projects are taken from there and nowhere else (uv's manual,
    "Searching across multiple indexes": the first index that has a project is the only one). `login` is for the index
    that is this server's own: `pins_url` if there is one, else `index_url`. `health` asks the indexes themselves about
    requirements that could not be installed.
    """

    requires: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    index_url: str = ""
    pins_url: str = ""
    login: Login | None = None
    health: Health = unknown


def refused_install(requires: Iterable[str]) -> list[str]:
    """Those of `requires` (valid PEP 508 lines) that must not reach uv.

    Requirements come from the index. uv would take them from URLs and files as well: those of another project on this
    server, or of whatever host this server can reach and the fork's author cannot. It puts environment variables into
    URLs, and those may hold a proxy's password.
    """
    return [line for line in requires if "$" in line or Requirement(line).url is not None]


def supply(build_env: BuildEnv, requirements_env: RequirementsEnv) -> tuple[str, ...]:
    """Make the environment with `supplies` in it; returns what it holds, as sorted `name==version`.

    Raises BuildError (`requirement-refused`, `requirements-unresolvable`), InfrastructureError (`index-unreachable`,
    `environment-failed`), and what `process.run` raises.
    """
    bad = refused_install(requirements_env.requires)
    if bad:
        what = f"The build requires {bad[0]!r}, which does not come from the index."
        raise BuildError("requirement-refused", what, next_step="Require a released project in the fork.")
    _make(build_env)
    if requirements_env.requires:
        _fill(build_env, requirements_env)
    return _listed(build_env)


def _make(build_env: BuildEnv) -> None:
    environment = build_env.fresh(build_env.folder.environment.name)
    # Relocatable: scripts find their interpreter from where they are, since the box gives the folder another name.
    options = ("--quiet", "--no-project", "--relocatable", "--allow-existing")
    python = str(build_env.interpreter.executable)
    made = build_env.supply(("venv", *options, "--python", python, str(environment)), "uv venv")
    if made.returncode:
        what = f"No environment for Python {build_env.interpreter.version} could be made (status {made.returncode})."
        raise InfrastructureError("environment-failed", what, next_step="The log shows what uv says.")


def _fill(build_env: BuildEnv, requirements_env: RequirementsEnv) -> None:
    log = build_env.watch.log
    log.say(f"installing {', '.join(requirements_env.requires)}")
    folder = build_env.folder
    constraints = _constraints(requirements_env, folder.fresh(folder.root / "supplies"))
    arguments = _arguments(requirements_env, str(folder.environment), str(constraints or ""))
    done, health = _fill_with_wheels(
        build_env, requirements_env, (*arguments, "--only-binary", ":all:", "--", *requirements_env.requires)
    )
    if done.returncode == UNMET and build_env.network:
        log.say("no set of wheels meets these requirements: building the rest from source, in the box")
        _make(build_env)
        done = _fill_from_source(build_env, requirements_env)
    _judge(done, requirements_env, build_env.network, health)


def _fill_with_wheels(
    build_env: BuildEnv, requirements_env: RequirementsEnv, arguments: tuple[str, ...]
) -> tuple[Finished, IndexHealth]:
    """Install, again if the indexes do not rule it out; how it ended, and what the indexes said of it.

    More than one try: while a mirror of devpi-server 6 reads a project for the first time, it answers others who ask
    for it "not found", and two who fetch one file at once get an error (seen with 6.20.3).
    """
    done, health = _install(build_env, arguments, requirements_env.login), IndexHealth()
    for pause in PAUSES:
        if done.returncode == 0:
            break
        health = requirements_env.health(requirements_env.requires, requirements_env.constraints)
        if health.fault:
            build_env.watch.log.say(health.fault)
        elif done.returncode == UNMET and health.unmet:
            build_env.watch.log.say(f"no index has a wheel that fits: {', '.join(health.unmet)}")
            break
        build_env.watch.log.say(
            f"trying again in {pause:g} s: an index that is read for the first time may not be ready"
        )
        time.sleep(pause)
        _make(build_env)  # a try that failed may have left half of what it was to install
        done = _install(build_env, arguments, requirements_env.login)
    return done, health


def _install(build_env: BuildEnv, arguments: tuple[str, ...], login: Login | None) -> Finished:
    """A password for uv is in variables named after the index (uv's manual, "Providing credentials")."""
    if login is None:
        return build_env.supply(arguments, "uv pip install")
    with login() as secret:
        variables = {f"UV_INDEX_{OWN.upper()}_USERNAME": USER, f"UV_INDEX_{OWN.upper()}_PASSWORD": secret.reveal()}
        return build_env.supply(arguments, "uv pip install", variables)


def _fill_from_source(build_env: BuildEnv, requirements_env: RequirementsEnv) -> Finished:
    """As pip would do it. This runs code of the requirements, which anybody may have released, with the network: so
    only for projects whose own code has it, in the box, and with a cache that ends with it.
    """
    folder = build_env.folder
    constraints = _constraints(requirements_env, build_env.fresh("supplies"))
    inside = build_env.inside(folder.environment)
    arguments = _arguments(requirements_env, inside, build_env.inside(constraints) if constraints else "")
    try:
        return build_env.boxed_uv((*arguments, "--", *requirements_env.requires), "uv pip install", network=True)
    finally:
        build_env.end()


def _constraints(requirements_env: RequirementsEnv, folder: Path) -> Path | None:
    if not requirements_env.constraints:
        return None
    path = folder / "constraints.txt"
    path.write_text("".join(f"{line}\n" for line in requirements_env.constraints))
    return path


def _arguments(requirements_env: RequirementsEnv, environment: str, constraints: str) -> tuple[str, ...]:
    named = "" if requirements_env.pins_url else f"{OWN}="
    index = ("--default-index", f"{named}{requirements_env.index_url}") if requirements_env.index_url else ()
    first = ("--index", f"{OWN}={requirements_env.pins_url}") if requirements_env.pins_url else ()
    held_back = ("--constraints", constraints) if constraints else ()
    return ("pip", "install", "--python", environment, *index, *first, *held_back)


def _judge(done: Finished, requirements_env: RequirementsEnv, network: bool, health: IndexHealth) -> None:
    """Raise the failure of an installation. Whoever may be to blame, it is tried again later: what is not there today
    may be released tomorrow, and an index may fail in ways that look as if a release was missing.
    """
    if done.returncode == 0:
        return
    if health.fault:
        raise InfrastructureError("index-unreachable", health.fault, next_step=LOOK_AT_INDEX)
    if done.returncode == UNMET:
        kind = "" if network else " from wheels"
        named = f" No index has a wheel of {', '.join(health.unmet)} that fits." if health.unmet and not network else ""
        what = f"What the build requires cannot be installed{kind}: {', '.join(requirements_env.requires)}.{named}"
        step = HINT if network else f"{HINT} {FROM_SOURCE}"
        raise BuildError("requirements-unresolvable", what, next_step=step, retryable=True)
    what = f"uv could not install what the build requires (status {done.returncode})."
    raise InfrastructureError("index-unreachable", what, next_step="The log shows which host or file failed.")


def _listed(build_env: BuildEnv) -> tuple[str, ...]:
    """From folder names (binary distribution format, `.dist-info`), so that nothing of the environment has to run.

    A requirement that was built from source may have put anything there: what is not a name and version is left out.
    """
    found = itertools.islice(build_env.folder.environment.glob("lib/*/site-packages/*.dist-info"), LISTED)
    pairs = (path.name.removesuffix(".dist-info").rpartition("-") for path in found)
    return tuple(
        sorted({f"{canonicalize_name(name)}=={version}" for name, _, version in pairs if _sane(name, version)})
    )


def _sane(name: str, version: str) -> bool:
    try:
        Version(version)
    except InvalidVersion:
        return False
    return NAME.fullmatch(name) is not None and version == version.strip()
