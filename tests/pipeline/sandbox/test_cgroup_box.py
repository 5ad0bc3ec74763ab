"""Limits for whole builds: where groups may be made (made-up files), and groups of the real kernel."""

from __future__ import annotations

import os
import shutil
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpi_forkbuilder.errors import InfrastructureError, LimitsError
from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.process.runner import run
from devpi_forkbuilder.pipeline.protocols import Sandbox
from devpi_forkbuilder.pipeline.sandbox import cgroup_survey, probe, reaper
from devpi_forkbuilder.pipeline.sandbox.cgroup_box import (
    PREFIX,
    GroupedBox,
    GroupedSandbox,
    Groups,
    bounded,
    grouped,
)
from devpi_forkbuilder.pipeline.sandbox.cgroup_survey import (
    CgroupPlace,
    Mount,
    Survey,
    mounts,
    own_groups,
    prepare,
    survey,
)
from devpi_forkbuilder.pipeline.sandbox.rlimits import MEBIBYTE, ResourceLimits
from devpi_forkbuilder.pipeline.sandbox.unconfined import NoSandbox
from tests.pipeline.rooms import PYTHON, READY, Doorbell, OpenRoom, Room, room
from tests.pipeline.watching import Lines, never

__all__ = ["room"]

HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/ab /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


def test_mounts__of_both_versions() -> None:
    memory = Mount("/docker/ab", Path("/sys/fs/cgroup/memory"), 1, frozenset({"memory"}))
    assert memory in mounts(HYBRID)
    assert [(mount.point.name, mount.version) for mount in mounts(HYBRID)] == [
        ("cpu,cpuacct", 1),
        ("memory", 1),
        ("systemd", 1),
        ("unified", 2),
    ]


def test_own_groups__by_controller() -> None:
    found = own_groups("9:name=systemd:/\n4:cpu,cpuacct:/a:b\n0::/init.scope\n")
    assert found == {"name=systemd": "/", "cpu": "/a:b", "cpuacct": "/a:b", "": "/init.scope"}


class Tree:
    """A made-up hierarchy of version 2 with a server in it."""

    def __init__(self, folder: Path) -> None:
        self.top = folder / "cgroup"
        self.mountinfo, self.own = folder / "mountinfo", folder / "own"
        self.group("")

    def group(self, path: str, *, pids: str = "", controllers: str = "cpu memory pids", root: bool = False) -> Path:
        folder = self.top / path.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.procs").write_text(pids)
        (folder / "cgroup.controllers").write_text(controllers)
        (folder / "cgroup.subtree_control").write_text("")
        if not root:
            (folder / "cgroup.type").write_text("domain\n")
        return folder

    def survey(self, own: str, root: str = "/") -> Survey:
        self.mountinfo.write_text(f"41 31 0:38 {root} {self.top} rw,relatime - cgroup2 cgroup2 rw\n")
        self.own.write_text(f"0::{own}\n")
        return survey(self.mountinfo, self.own)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_survey__container_with_a_tree_of_its_own(tree: Tree) -> None:
    tree.group("", pids="1\n7\n")
    assert tree.survey("/") == Survey((CgroupPlace(tree.top, 2, ("memory", "pids"), crowded=True),))
    assert tree.survey("/docker/ab", root="/docker/ab").places[0].folder == tree.top


def test_survey__root_of_a_machine_without_a_manager(tree: Tree) -> None:
    (tree.top / "cgroup.type").unlink()
    tree.group("", pids="1\n7\n", root=True)
    assert tree.survey("/").places == (CgroupPlace(tree.top, 2, ("memory", "pids")),)


def test_survey__group_of_a_service_that_was_not_handed_over(tree: Tree) -> None:
    tree.group("system.slice/devpi.service", pids="7\n")
    found = tree.survey("/system.slice/devpi.service")
    assert found.places == ()
    assert "Delegate=yes" in found.reason


def delegate(folder: Path) -> None:
    try:
        os.setxattr(folder, "user.delegate", b"1")
    except OSError:
        pytest.skip("the file system of the tests has no such attributes")


def test_survey__delegated_group(tree: Tree) -> None:
    folder = tree.group("system.slice/devpi.service", pids="7\n")
    delegate(folder)
    place = CgroupPlace(folder, 2, ("memory", "pids"), crowded=True)
    assert tree.survey("/system.slice/devpi.service").places == (place,)


def test_survey__below_a_delegated_group(tree: Tree) -> None:
    """systemd's DelegateSubgroup=, and a second process of this server."""
    folder = tree.group("system.slice/devpi.service")
    delegate(folder)
    tree.group("system.slice/devpi.service/main", pids="7\n")
    assert tree.survey("/system.slice/devpi.service/main").places == (CgroupPlace(folder, 2, ("memory", "pids")),)


def test_survey__group_that_the_server_has_moved_to(tree: Tree) -> None:
    tree.group(cgroup_survey.LEAF, pids="7\n")
    assert tree.survey(f"/{cgroup_survey.LEAF}").places == (CgroupPlace(tree.top, 2, ("memory", "pids")),)


def test_survey__controllers_that_are_elsewhere(tree: Tree) -> None:
    tree.group("", controllers="hugetlb")
    found = tree.survey("/")
    assert found.places == (CgroupPlace(tree.top, 2, ()),)
    assert "memory and pids" in found.reason


def test_survey__group_that_cannot_be_seen_from_here(tree: Tree) -> None:
    assert tree.survey("/../other").places == ()
    assert tree.survey("/elsewhere", root="/docker/ab").places == ()


def test_survey__no_proc(tmp_path: Path) -> None:
    assert survey(tmp_path / "none", tmp_path / "none").places == ()


def test_prepare__moves_the_server_away_and_enables(tree: Tree) -> None:
    folder = tree.group("", pids="7\n")
    # Files made up keep the last process written, and still list it here: what the kernel would make of it is below.
    ready = prepare(tree.survey("/").places[0])
    assert ready == CgroupPlace(folder, 2, ("memory", "pids"))
    assert (folder / cgroup_survey.LEAF / "cgroup.procs").read_text() == "7"
    assert (folder / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_prepare__refused_by_the_kernel(tree: Tree) -> None:
    place = tree.survey("/").places[0]
    (tree.top / "cgroup.subtree_control").unlink()
    (tree.top / "cgroup.subtree_control").mkdir()
    assert prepare(place) is None
    assert grouped(NoSandbox, ResourceLimits(), [place]) is None


# Groups of the real kernel


def real_places(name: str) -> Iterator[CgroupPlace]:
    """Folders of our own in each hierarchy that can bound something here, whatever group the tests are in."""
    for mount in mounts(cgroup_survey.MOUNTS.read_text()):
        folder = mount.point / name
        if not os.access(mount.point, os.W_OK):
            continue
        try:
            folder.mkdir()
        except OSError:
            continue
        there = (folder / "cgroup.controllers").read_text().split() if mount.version == 2 else mount.controllers
        controllers = tuple(one for one in cgroup_survey.CONTROLLERS if one in there)
        if mount.version == 1 and not controllers:
            folder.rmdir()
            continue
        if ready := prepare(CgroupPlace(folder, mount.version, controllers)):
            yield ready


@pytest.fixture
def groups() -> Iterator[Groups]:
    name = f"forkbuilder-test-{os.getpid()}"
    found = Groups(tuple(real_places(name)))
    try:
        if found.bounded != cgroup_survey.CONTROLLERS:
            pytest.skip(f"no group may be made here that bounds memory and processes: {survey().reason}")
        yield found
        assert [path for place in found.places for path in place.folder.glob(f"{PREFIX}*")] == []
    finally:
        for place in found.places:
            place.folder.rmdir()


MANY = """
import os, signal, sys, time
size, count = int(sys.argv[1]) << 20, int(sys.argv[2])
for number in range(count):
    if os.fork() == 0:
        os.setsid()
        kept = bytearray(os.urandom(4096)) * (size // 4096)
        signal.pause()
while True:
    time.sleep(0.1)
"""


class Grouped:
    """A room with groups besides."""

    def __init__(self, room: Room, groups: Groups, limits: ResourceLimits) -> None:
        self.room, self.limits, self.groups = room, limits, groups

    def open(self) -> OpenRoom:
        work = self.room.work()
        sandbox = grouped(self._tier, self.limits, self.groups.places)
        assert sandbox is not None
        return OpenRoom(self.room, sandbox.box(work), work)

    def _tier(self, limits: ResourceLimits) -> Sandbox:
        self.room.limits = limits
        return self.room.sandbox


@pytest.fixture
def privileged(room: Room) -> Room:
    if room.demoted:
        pytest.skip("groups of this machine are root's")
    return room


def members(groups: Groups) -> list[str]:
    return [
        pid
        for place in groups.places
        for path in place.folder.rglob("cgroup.procs")
        for pid in path.read_text().split()
    ]


def test_group__many_processes_below_each_bound_are_ended_together(privileged: Room, groups: Groups) -> None:
    """None of them is large; 40 of 20 MiB are, against 200 MiB."""
    box = Grouped(privileged, groups, ResourceLimits(total_memory=200 * MEBIBYTE)).open()
    try:
        with pytest.raises(LimitsError, match="200 MiB of memory in all") as caught:
            box.python(MANY, "20", "40")
        assert (caught.value.kind.value, caught.value.reference) == ("limits", "memory")
    finally:
        box.box.end()
    assert members(groups) == []


def test_group__a_bound_that_is_kept_harms_nobody(privileged: Room, groups: Groups) -> None:
    box = Grouped(privileged, groups, ResourceLimits(total_memory=200 * MEBIBYTE)).open()
    try:
        assert box.shell("echo fine") == (0, "fine\n")
        assert box.shell("echo again; exit 3") == (3, "again\n")
        assert box.box.path(box.work) == (box.box.box.path(box.work) if isinstance(box.box, GroupedBox) else "")
    finally:
        box.box.end()


BOMB = """
import os, signal, sys
refused = 0
while not refused:
    try:
        if os.fork() == 0:
            os.setsid()
            signal.pause()
    except OSError:
        refused = 1
sys.exit(int(sys.argv[1]))
"""


def test_group__fork_bomb_has_the_kind_limits(privileged: Room, groups: Groups) -> None:
    box = Grouped(privileged, groups, ResourceLimits(processes=40)).open()
    try:
        with pytest.raises(LimitsError, match="refused more than 40 processes") as caught:
            box.python(BOMB, "1")
        assert (caught.value.kind.value, caught.value.reference) == ("limits", "processes")
        # Who was refused one and did without has done nothing wrong; and it is forgotten with the next command.
        assert box.python(BOMB, "0")[0] == 0
        assert box.shell("exit 3")[0] == 3
    finally:
        box.box.end()
    assert members(groups) == []


def test_group__memory_of_what_a_daemon_keeps_counts(groups: Groups) -> None:
    """Nobody leaves a group: neither by a session of its own nor by outliving its parent."""
    group = groups.new(ResourceLimits(total_memory=100 * MEBIBYTE))
    script = "import os, sys, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n"
    script += "  kept = bytearray(os.urandom(4096)) * (200 << 8)\n  time.sleep(60)\n os._exit(0)\ntime.sleep(60)\n"
    try:
        with pytest.raises(LimitsError):
            run(group.wrap(command(str(PYTHON), "-c", script)), log=Lines(), cancelled=never)
    finally:
        group.end()
    assert members(groups) == []


def command(*argv: str) -> Command:
    return Command(argv, {"PATH": "/usr/bin:/bin"}, Path("/"), 60, "hostile")


def test_group__end_kills_what_ignores_and_hides(groups: Groups) -> None:
    group = groups.new(ResourceLimits())
    script = f"""
        import os, signal
        for number in range(5):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    os.close(0); os.close(1); os.close(2)
                    while True:
                        signal.pause()
                os._exit(0)
        os.write(1, {READY!r})
    """
    seen: list[int] = []
    log = Doorbell(lambda: seen.append(len(set(members(groups)))))
    run(group.wrap(command(str(PYTHON), "-c", textwrap.dedent(script))), log=log, cancelled=never)
    assert seen[0] >= 5
    group.end()
    assert members(groups) == []
    group.end()


def test_group__that_is_gone_starts_nothing(groups: Groups) -> None:
    """Without its bounds a command is not run."""
    group = groups.new(ResourceLimits())
    wrapped = group.wrap(command("/bin/echo", "ran"))
    group.end()
    log = Lines()
    assert run(wrapped, log=log, cancelled=never).returncode == 125
    assert b"ran" not in log.written


def test_groups__place_that_vanished(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError) as caught:
        Groups((CgroupPlace(tmp_path / "gone", 2, ("memory",)),)).new(ResourceLimits())
    assert caught.value.reference == "no-cgroup"


def test_groups__sweep_leaves_those_of_living_servers(tmp_path: Path) -> None:
    mine, dead = tmp_path / f"{PREFIX}{reaper.new_mark()}", tmp_path / f"{PREFIX}{os.getpid()}-1-1"
    other = tmp_path / "of-somebody-else"
    for folder in (mine, dead, other):
        folder.mkdir()
    Groups((CgroupPlace(tmp_path, 2, ("memory",)),)).sweep()
    assert sorted(tmp_path.iterdir()) == sorted([mine, other])


def test_group__files_of_version_2(tmp_path: Path) -> None:
    """What is written where; the kernel of this machine may have version 1 only."""
    place = tmp_path / "place"
    place.mkdir()
    group = Groups((CgroupPlace(place, 2, ("memory", "pids")),)).new(ResourceLimits(total_memory=7, processes=5))
    (folder,) = group.folders
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"memory.max": "7", "pids.max": "5"}
    (folder / "memory.events").write_text("low 0\noom 3\noom_kill 0\n")
    group.judge(1)
    (folder / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    with pytest.raises(LimitsError):
        group.judge(None)
    shutil.rmtree(folder)


def test_bounded__only_with_groups(groups: Groups) -> None:
    assert bounded(NoSandbox()) == ()
    assert bounded(GroupedSandbox(NoSandbox(), groups, ResourceLimits())) == ("memory", "pids")
    assert GroupedSandbox(NoSandbox(), groups, ResourceLimits()).name == "none"


def test_grouped__a_user_has_twice_the_processes_of_a_build(groups: Groups) -> None:
    """Or the dead of other builds, whom nobody has waited for yet, would count."""
    made: list[ResourceLimits] = []

    def find(limits: ResourceLimits) -> Sandbox:
        made.append(limits)
        return NoSandbox(limits)

    sandbox = grouped(find, ResourceLimits(processes=20), groups.places)
    assert sandbox is not None
    assert (made[0].processes, sandbox.limits.processes) == (40, 20)


def test_choose__has_groups_where_they_can_be_made(groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "survey", lambda: Survey(groups.places))
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        assert bounded(probe.choose_tier("none", scratch=Path(scratch))) == ("memory", "pids")


def test_choose__groups_that_do_not_work_are_no_reason_not_to_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder that takes everything, in the place of a control group."""
    monkeypatch.setattr(probe, "survey", lambda: Survey((CgroupPlace(tmp_path, 1, ("pids",)),)))
    sandbox = probe.choose_tier("none", scratch=tmp_path)
    assert (sandbox.name, bounded(sandbox)) == ("none", ())
    assert "control groups do not work here" in caplog.text
