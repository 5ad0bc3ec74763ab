"""Which tier works on this machine: found out by running something in it, not by looking for programs."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError
from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.process.disk_space import existing, out_of_space, space_of
from devpi_forkbuilder.pipeline.process.runner import run
from devpi_forkbuilder.pipeline.protocols import Box, Sandbox
from devpi_forkbuilder.pipeline.sandbox import uid_pool
from devpi_forkbuilder.pipeline.sandbox.cgroup_box import grouped
from devpi_forkbuilder.pipeline.sandbox.cgroup_survey import survey
from devpi_forkbuilder.pipeline.sandbox.open_place import discard_empty
from devpi_forkbuilder.pipeline.sandbox.rlimits import ResourceLimits
from devpi_forkbuilder.pipeline.sandbox.tier_bwrap import BwrapSandbox
from devpi_forkbuilder.pipeline.sandbox.tier_landlock import LandlockSandbox
from devpi_forkbuilder.pipeline.sandbox.tier_uid import UidSandbox
from devpi_forkbuilder.pipeline.sandbox.unconfined import NoSandbox

AUTO, NONE = "auto", "none"
TIERS = ("bwrap", "uid", "landlock")
"""From strongest to weakest."""

CONFINED, LEAKY, USELESS = 0, 41, 42
SCRIPT = f"""
if read -r line < "$CANARY"; then exit {LEAKY}; fi
if true > "$OUTSIDE"; then exit {LEAKY}; fi
if chmod 600 "$CANARY"; then exit {LEAKY}; fi
true > written || exit {USELESS}
chmod 700 written || exit {USELESS}
exit {CONFINED}
"""
SECONDS = 10.0
NEXT_STEP = "`devpi-forkbuilder doctor` shows what each tier lacks here; --forkbuilder-sandbox none goes without."

Finder = Callable[[ResourceLimits], Sandbox]
"""Makes a tier with limits; raises InfrastructureError."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TierProbe:
    """What a probe has shown of a tier; `reason` says why it does not work and what to do, empty when it does.

    `origin` says which program confines, where that is not the kernel alone.
    """

    tier: str
    ok: bool
    reason: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where builds will be, and what they will need."""

    scratch: Path
    readable: tuple[Path, ...]
    first_uid: int = uid_pool.FIRST


class _Lines:
    """Keeps the little that a probe prints."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, data: bytes) -> None:
        self.text = (self.text + data.decode(errors="replace"))[-500:]

    def say(self, line: str) -> None:
        self.write(f"{line}\n".encode())


def choose_tier(
    wanted: str,
    *,
    scratch: Path,
    readable: tuple[Path, ...] = (),
    limits: ResourceLimits | None = None,
    search_path: str | None = None,
    first_uid: int = uid_pool.FIRST,
) -> Sandbox:
    """The sandbox for `wanted`: `auto`, a tier, or `none`.

    Where this server may make control groups, limits hold for whole builds besides.
    `scratch` is the folder that work folders will be in, `readable` what boxes will be asked to let builds read (a tier
    that cannot is not taken), `search_path` where bwrap is looked for (default: PATH), `first_uid` the first user id of
    builds.
    Raises InfrastructureError, not retryable: `no-sandbox` when no tier works, `sandbox-unusable` when the wanted one
    does not; both name the cause.
    """
    limits = limits or ResourceLimits()
    if wanted == NONE:
        log.warning("builds are not confined (--forkbuilder-sandbox none): a fork's build can do what the server can")
        return _bounded(NoSandbox, _Place(scratch, readable), limits)
    place = _Place(scratch, readable, first_uid)
    finders = _finders(place, search_path)
    taken = _strongest(wanted, place, limits, finders)
    log.info("builds are confined: tier %s", f"{taken.tier} ({taken.origin})" if taken.origin else taken.tier)
    return _bounded(finders[taken.tier], place, limits)


def check_tiers(
    wanted: str, *, scratch: Path, readable: tuple[Path, ...] = (), limits: ResourceLimits | None = None, first_uid: int
) -> None:
    """Raise what `choose` would; nothing is logged, and nothing is left behind."""
    if wanted != NONE:
        place = _Place(scratch, readable, first_uid)
        _strongest(wanted, place, limits or ResourceLimits(), _finders(place, None))


def _strongest(wanted: str, place: _Place, limits: ResourceLimits, finders: Mapping[str, Finder]) -> TierProbe:
    findings = []
    for tier in TIERS if wanted == AUTO else (wanted,):
        finding = _tried(tier, place, limits, finders)
        if finding.ok:
            return finding
        findings.append(finding)
    if (space := space_of(existing(place.scratch))).scarce:  # on a full disk a probe says nothing of the sandbox
        raise out_of_space(space, "no sandbox could be tried.")
    raise _refusal(wanted, findings)


def report_tier(
    *,
    scratch: Path,
    readable: tuple[Path, ...] = (),
    limits: ResourceLimits | None = None,
    search_path: str | None = None,
) -> list[TierProbe]:
    """Return what a probe of each tier has shown; strongest first."""
    place = _Place(scratch, readable)
    finders = _finders(place, search_path)
    return [_tried(tier, place, limits or ResourceLimits(), finders) for tier in TIERS]


def _bounded(find: Finder, place: _Place, limits: ResourceLimits) -> Sandbox:
    """A tier that works, with control groups if a trial shows that they do; builds need none."""
    found = survey()
    better = grouped(find, limits, found.places)
    if better is None:
        log.info("limits hold for each process of a build: %s", found.reason)
        return find(limits)
    try:
        reason = _ran(better, place)
    except (ForkbuilderError, OSError) as error:
        reason = str(error)
    if reason:
        log.warning("control groups do not work here: %s", reason)
    return find(limits) if reason else better


def _refusal(wanted: str, findings: list[TierProbe]) -> InfrastructureError:
    reasons = " ".join(f"{finding.tier}: {finding.reason}" for finding in findings)
    if wanted == AUTO:
        what = f"Builds cannot be confined on this machine, so none is run. {reasons}"
        return InfrastructureError("no-sandbox", what, next_step=NEXT_STEP, retryable=False)
    what = f"The tier {wanted} does not work on this machine. {reasons}"
    return InfrastructureError("sandbox-unusable", what, next_step=NEXT_STEP, retryable=False)


def _finders(place: _Place, search_path: str | None) -> dict[str, Finder]:
    path = os.environ.get("PATH", "") if search_path is None else search_path
    return {
        "bwrap": lambda limits: BwrapSandbox.find(limits, path, place.first_uid),
        "uid": lambda limits: UidSandbox.find(limits, place.scratch, place.first_uid),
        "landlock": LandlockSandbox.find,
    }


def _tried(tier: str, place: _Place, limits: ResourceLimits, finders: Mapping[str, Finder]) -> TierProbe:
    if tier not in finders:
        names = ", ".join((AUTO, *TIERS, NONE))
        what = f"There is no sandbox tier {tier!r}; there are {names}."
        raise InfrastructureError("sandbox-unknown", what, retryable=False)
    try:
        sandbox = finders[tier](limits)
        reason = _fault(sandbox, place)
    except ForkbuilderError as error:
        return TierProbe(tier, ok=False, reason=error.message)
    except OSError as error:
        return TierProbe(tier, ok=False, reason=f"The probe could not be made: {error}.")
    return TierProbe(tier, ok=not reason, reason=reason, origin=sandbox.origin)


def _ran(sandbox: Sandbox, place: _Place) -> str:
    """Why nothing can be run in `sandbox`; empty when something can."""
    with _folder(sandbox, place) as name:
        work, lines = Path(name, "work"), _Lines()
        work.mkdir()
        command = Command(("/bin/sh", "-c", "exit 0"), {}, work, SECONDS, "control group probe")
        status = _status(sandbox.box(work, readable=place.readable), command, lines)
    return "" if status == 0 else f"A command ended with status {status}: {' '.join(lines.text.split())}."


@contextlib.contextmanager
def _folder(sandbox: Sandbox, place: _Place) -> Iterator[str]:
    """A folder for a probe, where the tier's work folders will be."""
    scratch = sandbox.scratch or place.scratch
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="probe-", dir=scratch) as name:
            yield name
    finally:
        discard_empty(scratch)


def _fault(sandbox: Sandbox, place: _Place) -> str:
    """What is wrong with a tier; empty when it confines."""
    with _folder(sandbox, place) as name:
        work, canary = Path(name, "work"), Path(name, "canary")
        work.mkdir()
        canary.touch(mode=0o600)
        canary.write_text("seen\n")
        lines = _Lines()
        env = {"CANARY": str(canary), "OUTSIDE": str(canary.with_name("outside"))}
        command = Command(("/bin/sh", "-c", SCRIPT), env, work, SECONDS, f"sandbox probe {sandbox.name}")
        status = _status(sandbox.box(work, readable=place.readable), command, lines)
        written = (work / "written").exists()
    if status == CONFINED and written:
        return ""
    if status == LEAKY:
        return "A command in it could reach a file outside."
    return f"A command in it ended with status {status}: {' '.join(lines.text.split()) or 'no output'}."


def _status(box: Box, command: Command, lines: _Lines) -> int:
    try:
        return run(box.wrap(command, network=False), log=lines, cancelled=lambda: False).returncode
    finally:
        box.end()
