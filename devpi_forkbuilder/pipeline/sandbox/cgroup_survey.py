"""Where this server may make control groups, so that limits hold for whole builds (cgroups(7), kernel "cgroup-v2").

Only what was handed over is used: the root of what is mounted here (a container's own tree, or a machine without a
manager of services), or a group that systemd marks as delegated (`Delegate=yes`; its CGROUP_DELEGATION.md, "the
single-writer rule"). Elsewhere groups belong to somebody who may remove them, and whose own limits a build would leave.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

MEMORY, PROCESSES = "memory", "pids"
CONTROLLERS = (MEMORY, PROCESSES)
LEAF = "forkbuilder-server"
"""Where the server itself goes: in version 2 a group with controlled groups below it has no processes of its own."""
DELEGATED = ("user.delegate", "trusted.delegate")
INDEX_TOKENS = 5

MOUNTS, OWN = Path("/proc/self/mountinfo"), Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted hierarchy: its group `root` is seen at `point`. `controllers`: of version 1, none in version 2."""

    root: str
    point: Path
    version: int
    controllers: frozenset[str]


@dataclass(frozen=True, slots=True)
class CgroupPlace:
    """A folder that groups for builds may be made in, and those of CONTROLLERS that bound them.

    `crowded`: there are processes in it that have to move to LEAF first.
    """

    folder: Path
    version: int
    controllers: tuple[str, ...]
    crowded: bool = False


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is, and why there is no more; at least one of the two is not empty."""

    places: tuple[CgroupPlace, ...]
    reason: str = ""


def mounts(mountinfo: str) -> list[Mount]:
    """The hierarchies in the text of proc_pid_mountinfo(5)."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, *options = after.split(" ")
        fields = before.split(" ")
        if kind in {"cgroup", "cgroup2"} and len(fields) > 4 and options:
            controllers = frozenset(options[-1].split(",")).intersection(CONTROLLERS)
            version = 2 if kind == "cgroup2" else 1
            found.append(Mount(fields[3], Path(fields[4]), version, controllers if version == 1 else frozenset()))
    return found


def own_groups(cgroup: str) -> dict[str, str]:
    """The paths in the text of /proc/PID/cgroup by controller; that of version 2 under the empty name."""
    lines = (line.split(":", 2) for line in cgroup.splitlines() if line.count(":") >= 2)
    return {name: path for _, names, path in lines for name in names.split(",")}


def survey(mountinfo: Path = MOUNTS, own: Path = OWN) -> Survey:
    """Look, and change nothing."""
    try:
        paths = own_groups(own.read_text())
        hierarchies = mounts(mountinfo.read_text())
    except OSError as error:
        return Survey((), f"Control groups could not be looked at: {error.strerror}.")
    found = [place for mount in hierarchies if (place := _place(mount, paths)) is not None]
    missing = [name for name in CONTROLLERS if not any(name in place.controllers for place in found)]
    if not missing:
        return Survey(tuple(found))
    step = "Give the server a group of its own: Delegate=yes in its systemd unit, or a writable /sys/fs/cgroup."
    return Survey(tuple(found), f"No group in which {' and '.join(missing)} of a build can be bounded. {step}")


def prepare(place: CgroupPlace) -> CgroupPlace | None:
    """Make `place` ready for groups; None when that fails: then it is as if it were not there."""
    if place.version == 1 or not place.controllers:
        return place
    try:
        if place.crowded:
            _move_away(place.folder)
        (place.folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in place.controllers))
    except OSError:
        return None
    return replace(place, crowded=False)


def _place(mount: Mount, paths: dict[str, str]) -> CgroupPlace | None:
    name = next(iter(mount.controllers), "")
    if (mount.version == 1 and not name) or name not in paths:
        return None
    below = _below(mount, paths[name])
    folder = None if below is None else _handed_over(mount.point, mount.point / below)
    if folder is None or not os.access(folder / "cgroup.procs", os.W_OK) or not os.access(folder, os.W_OK):
        return None
    if mount.version == 1:
        return CgroupPlace(folder, 1, tuple(sorted(mount.controllers)))
    there = _words(folder / "cgroup.controllers")
    controllers = tuple(name for name in CONTROLLERS if name in there)
    # Only the root of all groups has no type; it alone may have processes beside controlled groups.
    crowded = (folder / "cgroup.type").exists() and bool(_words(folder / "cgroup.procs"))
    return CgroupPlace(folder, 2, controllers, crowded=crowded)


def _below(mount: Mount, path: str) -> Path | None:
    """`path`, a group of the hierarchy, as seen from the mount's point; None when it cannot be seen."""
    try:
        return Path(path).relative_to(mount.root)
    except ValueError:
        return None


def _handed_over(top: Path, own: Path) -> Path | None:
    """The group to make others in."""
    if own.name == LEAF:
        return own.parent
    if own == top or _delegated(own):
        return own
    return own.parent if own.parent != top and _delegated(own.parent) else None


def _delegated(folder: Path) -> bool:
    for name in DELEGATED:
        with contextlib.suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False


def _move_away(folder: Path) -> None:
    """Processes can start others meanwhile: until there are none. Raises OSError."""
    leaf = folder / LEAF
    leaf.mkdir(exist_ok=True)
    for _ in range(INDEX_TOKENS):
        for pid in _words(folder / "cgroup.procs"):
            with contextlib.suppress(ProcessLookupError):
                (leaf / "cgroup.procs").write_text(pid)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
