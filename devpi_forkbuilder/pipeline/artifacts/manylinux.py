"""Linux wheels that install elsewhere: `linux_*` tags become `manylinux` where auditwheel finds nothing against it.

auditwheel reads the wheel's libraries, which are the build's own: it runs in a box without network, on a copy. Nothing
is grafted into a wheel, so a repair is a change of tags only (PEP 600), and equal wheels give equal bytes.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devpi_forkbuilder.domain.compat.targets import ALIASES
from devpi_forkbuilder.errors import ForkbuilderError
from devpi_forkbuilder.pipeline.artifacts.restamp import date_of, rewrite_wheel
from devpi_forkbuilder.pipeline.artifacts.wheel import Wheel, read_wheel
from devpi_forkbuilder.pipeline.process import runner
from devpi_forkbuilder.pipeline.process.atomic_write import disk, placed
from devpi_forkbuilder.pipeline.process.command import MEBIBYTE, Command
from devpi_forkbuilder.pipeline.process.environment import SEARCH_PATH
from devpi_forkbuilder.pipeline.process.watch import TransferWatch
from devpi_forkbuilder.pipeline.protocols import Sandbox

PROGRAM = "auditwheel"
TIMEOUT = 120.0
LINUX = re.compile(r"linux_(?P<machine>[a-z0-9_]+)")
POLICY = re.compile(r"(?P<name>(?:many|musl)linux)_(?P<major>\d{1,3})_(?P<minor>\d{1,3})_(?P<machine>[a-z0-9_]+)")


@dataclass(frozen=True, slots=True)
class RetagFinding:
    """The platform tags that a wheel may have instead of its own; none: it keeps it, and `why` is for the log."""

    platforms: tuple[str, ...] = ()
    why: str = ""


def retag_linux_wheel(
    wheel: Wheel, sandbox: Sandbox, folder: Path, into: Path, epoch: int, watch: TransferWatch
) -> Path:
    """The wheel with the best tags that it may have, in `into`; its own path when that are those it has.

    `folder` is an empty folder for the box, `epoch` as in `stamp_wheel`. Raises CancelledError, and InfrastructureError
    when a file cannot be written.
    """
    machine = machine_of(tag.platform for tag in wheel.tags)
    if machine is None:
        return wheel.path
    finding = _audited(wheel.path, machine, sandbox, folder, watch)
    if not finding.platforms:
        watch.log.say(f"the wheel keeps its tag linux_{machine}: {finding.why}")
        return wheel.path
    watch.log.say(f"the wheel is tagged {'.'.join(finding.platforms)}: it links what every such platform has")
    return retag(wheel, finding.platforms, into, epoch)


def machine_of(platforms: Iterable[str]) -> str | None:
    """The CPU of a wheel whose only platform is `linux_CPU`; None for any other."""
    matches = [LINUX.fullmatch(platform) for platform in set(platforms)]
    return matches[0]["machine"] if len(matches) == 1 and matches[0] is not None else None


def retag(wheel: Wheel, platforms: tuple[str, ...], into: Path, epoch: int) -> Path:
    """Write the wheel into the folder `into` with `platforms` for its own."""
    head = wheel.filename.removesuffix(".whl").rpartition("-")[0]
    target = into / f"{head}-{'.'.join(sorted(platforms))}.whl"
    edits = {f"{wheel.dist_info}/WHEEL": lambda data: _with_platforms(data, platforms)}
    with placed(target) as part:
        rewrite_wheel(wheel, part, date_of(epoch), new=wheel.dist_info.removesuffix(".dist-info"), edits=edits)
    read_wheel(target)
    return target


def judge_platform(answer: bytes, machine: str) -> RetagFinding:
    """What `auditwheel show --json` has found. The answer is about a stranger's file: nothing in it is trusted."""
    try:
        found: dict[str, Any] = json.loads(answer)
        policy = POLICY.fullmatch(found["overall_tag"])
        libraries = sorted(map(str, found["external_libs"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return RetagFinding(why="auditwheel's answer cannot be read")
    if libraries:
        return RetagFinding(why=f"it links {', '.join(libraries)[:200]}, which other machines need not have")
    if policy is None or policy["machine"] != machine:
        return RetagFinding(why="no manylinux policy allows what it links")
    alias = ALIASES.get((int(policy["major"]), int(policy["minor"]))) if policy["name"] == "manylinux" else None
    return RetagFinding((policy[0], f"{alias}_{machine}") if alias else (policy[0],))


def _audited(path: Path, machine: str, sandbox: Sandbox, folder: Path, watch: TransferWatch) -> RetagFinding:
    spec = importlib.util.find_spec(PROGRAM)
    if spec is None or spec.origin is None:
        return RetagFinding(why="auditwheel is not installed on this server")
    readable = tuple(dict.fromkeys((Path(sys.prefix), Path(sys.base_prefix), Path(spec.origin).parent.parent)))
    copy = folder / path.name
    with disk(copy.name):
        shutil.copyfile(path, copy)
    box = None
    try:
        box = sandbox.box(folder, readable=readable)
        home = box.path(folder)
        argv = (sys.executable, "-I", "-m", PROGRAM, "show", "--json", box.path(copy))
        env = {"PATH": SEARCH_PATH, "HOME": home, "TMPDIR": home, "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
        command = Command(argv, env, folder, TIMEOUT, PROGRAM, capture=True, capture_limit=MEBIBYTE)
        done = runner.run(box.wrap(command, network=False), log=watch.log, cancelled=watch.cancelled)
    except ForkbuilderError as error:
        return RetagFinding(why=f"auditwheel could not examine it: {error.what}")
    finally:
        if box is not None:
            box.end()
    return (
        judge_platform(done.stdout, machine)
        if done.returncode == 0
        else RetagFinding(why="auditwheel could not examine it")
    )


def _with_platforms(data: bytes, platforms: tuple[str, ...]) -> bytes:
    lines = []
    for line in data.splitlines(keepends=True):
        text = line.rstrip(b"\r\n")
        if text.lower().startswith(b"tag:"):
            head, end = text.rpartition(b"-")[0], line[len(text) :]
            lines += [b"%s-%s%s" % (head, platform.encode(), end) for platform in sorted(platforms)]
        else:
            lines.append(line)
    return b"".join(lines)
