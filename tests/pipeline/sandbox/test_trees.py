"""Trees that builds leave, in each tier: removed, counted and taken back, however deep and closed they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devpi_forkbuilder.pipeline.process.deep_tree import remove
from devpi_forkbuilder.pipeline.process.disk_quota import folder_size
from devpi_forkbuilder.pipeline.process.work_dir import discard
from devpi_forkbuilder.pipeline.sandbox import ownership, uid_pool
from tests.hostile_trees import NEST, nest
from tests.pipeline.rooms import PYTHON, ROOT, Room, room

__all__ = ["room"]

LEVELS = sys.getrecursionlimit() + 200
MEBIBYTE = 1024 * 1024

HIDE_DEEP = NEST + "open('big', 'wb').write(b'x' * int(sys.argv[3]))"
"""A file beyond the longest path."""
CLOSE = """
    try:
        os.chmod(sys.argv[1], 0)
    except OSError as error:  # the broker of the tier landlock opens whole paths, and refuses one that is too long
        assert error.errno == 36, error
"""
HIDE_CLOSED = """
import os, sys
os.mkdir('closed')
open('closed/big', 'wb').write(b'x' * int(sys.argv[1]))
os.chmod('closed', int(sys.argv[2], 8))
"""


def test_end__of_a_build_that_nests_folders(room: Room) -> None:
    with room.box() as box:
        status, text = box.python(NEST, "a", str(LEVELS))
        assert status == 0, text
        box.box.end()
        assert discard(box.work)
        assert not box.work.exists()
        box.work.mkdir()


def test_end__of_a_build_that_closes_what_it_nests(room: Room) -> None:
    """From the inside out: what is below a closed folder cannot be closed."""
    close = "import os, sys\nfor _ in range(int(sys.argv[2])):\n    os.chdir('..')\n" + CLOSE
    with room.box() as box:
        status, text = box.python(NEST + close, "n" * 200, "60")
        assert status == 0, text
        box.box.end()
        assert discard(box.work)
        box.work.mkdir()


@pytest.mark.parametrize("levels", [30, 600])
def test_limit__files_beyond_the_longest_path_count(room: Room, levels: int) -> None:
    with room.box() as box:
        status, text = box.python(HIDE_DEEP, "d" * 200, str(levels), str(8 * MEBIBYTE))
        assert status == 0, text
        assert folder_size(box.work, 8 * MEBIBYTE) > 8 * MEBIBYTE
        assert 8 * MEBIBYTE < folder_size(box.work, 64 * MEBIBYTE) < 16 * MEBIBYTE


@pytest.mark.parametrize("mode", ["0", "300", "100", "400"])
def test_limit__folders_that_cannot_be_listed_are_over_it(room: Room, mode: str) -> None:
    with room.box() as box:
        status, text = box.python(HIDE_CLOSED, str(8 * MEBIBYTE), mode)
        assert status == 0, text
        look = (
            "import sys; from pathlib import Path;"
            "from devpi_forkbuilder.pipeline.process.disk_quota import folder_size;"
            "print(folder_size(Path(sys.argv[1]), 1 << 20) > 1 << 20)"
        )
        user = room.server_uid if room.demoted else None
        argv = [str(PYTHON if room.demoted else sys.executable), "-c", look, str(box.work)]
        root = Path(__file__).parents[3]
        found = subprocess.run(argv, capture_output=True, text=True, cwd=root, user=user, check=False)
        assert found.stdout == "True\n", found.stderr


@pytest.mark.skipif(not ROOT, reason="needs root")
class TestSlot:
    UID = 61900

    def leave(self, levels: int) -> Path:
        """A tree of this user's in the shared memory."""
        left = Path(f"/dev/shm/left-by-{self.UID}-{os.getpid()}")
        left.mkdir()
        os.close(nest(left, "a", levels))
        os.chown(left, self.UID, self.UID)
        return left

    def test_take__after_a_build_that_nested_folders_in_the_shared_memory(self) -> None:
        left = self.leave(LEVELS)
        try:
            slot = uid_pool.take(self.UID, 1)
            slot.release()
            assert not left.exists()
        finally:
            remove(left)

    def test_uid_box__nested_folders_in_the_shared_memory_go_with_it(self) -> None:
        home = Path("/var/tmp") / f"forkbuilder-slot-{os.getpid()}"
        home.mkdir(mode=0o755)
        shared = f"forkbuilder-{os.getpid()}"
        try:
            uid_room = Room("uid", home, demoted=False, first_uid=self.UID)
            for name in ("1", "2"):
                with uid_room.box(name) as box:
                    nesting = f"import os; os.mkdir('/dev/shm/{shared}'); os.chdir('/dev/shm/{shared}')\n{NEST}"
                    assert box.python(nesting, "a", str(LEVELS)) == (0, "")
                assert not Path("/dev/shm", shared).exists()
        finally:
            remove(home)
            remove(Path("/dev/shm", shared))

    def test_take__a_user_that_cannot_be_emptied_is_set_aside(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        left = self.leave(1)
        monkeypatch.setattr(uid_pool, "SET_ASIDE", [])
        try:
            with monkeypatch.context() as patched:
                patched.setattr(ownership, "remove", lambda path: path != left)
                slot = uid_pool.take(self.UID, 2)
                assert slot.uid == self.UID + 1
                slot.release()
            assert f"user {self.UID} is set aside" in caplog.text
            slot = uid_pool.take(self.UID, 2)
            assert slot.uid == self.UID + 1
            slot.release()
        finally:
            for slot in uid_pool.SET_ASIDE:
                slot.release()
            remove(left)
