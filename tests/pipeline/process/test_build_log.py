from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from devpi_forkbuilder.pipeline.process.build_log import BuildLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_log__grows_as_it_is_written(path: Path) -> None:
    with BuildLog(path) as log:
        log.write(b"one ")
        assert path.read_bytes() == b"one "
        log.write(b"two\n")
        assert path.read_bytes() == b"one two\n"


def test_log__our_lines_are_marked_and_on_their_own(path: Path) -> None:
    with BuildLog(path) as log:
        log.say("begin")
        log.write(b"half a line")
        log.say("two\nlines \udc80")
        log.write(b"rest\n")
    assert path.read_bytes() == (b"[forkbuilder] begin\nhalf a line\n[forkbuilder] two lines \\udc80\nrest\n")


def test_log__over_the_limit_has_head_note_and_tail(path: Path) -> None:
    lines = [b"line %d\n" % number for number in range(5000)]
    with BuildLog(path, limit=4100) as log:
        for line in lines:
            log.write(line)
    content, whole = path.read_bytes(), b"".join(lines)
    head, left_out, tail = re.split(rb"\n\[forkbuilder\] \.\.\. (\d+) bytes left out \.\.\.\n", content)
    assert len(content) <= 4100
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert len(head) + int(left_out) + len(tail) == len(whole)
    assert len(tail) == 2000


def test_log__one_write_larger_than_the_limit(path: Path) -> None:
    with BuildLog(path, limit=1100) as log:
        log.write(b"a" * 100_000 + b"b")
    content = path.read_bytes()
    assert len(content) <= 1100
    assert content.endswith(b"ab")
    assert b"99001 bytes left out" in content


def test_log__just_over_the_half_has_no_note(path: Path) -> None:
    with BuildLog(path, limit=1100) as log:
        log.write(b"a" * 500)
        log.write(b"b" * 500)
    assert path.read_bytes() == b"a" * 500 + b"b" * 500


def test_log__shows_progress_after_the_limit(path: Path) -> None:
    now = [0.0]
    with BuildLog(path, limit=1100, refresh=2.0, clock=lambda: now[0]) as log:
        log.write(b"a" * 5000)
        log.write(b"newest")
        assert not path.read_bytes().endswith(b"newest")
        now[0] = 2.0
        log.write(b"!")
        assert path.read_bytes().endswith(b"newest!")
        now[0] = 4.0
        log.write(b"and more")
        assert path.read_bytes().endswith(b"newest!and more")
        assert path.stat().st_size <= 1100


@pytest.mark.parametrize("written", [10, 500, 700, 5000])
@pytest.mark.parametrize("wanted", [0, 5, 300, 499])
def test_tail__is_the_end_of_what_was_written(path: Path, written: int, wanted: int) -> None:
    data = bytes(number % 251 for number in range(written))
    with BuildLog(path, limit=1100) as log:
        for number in range(0, written, 7):
            log.write(data[number : number + 7])
        assert log.tail(wanted) == (data[-wanted:] if wanted else b"")


def test_log__full_disk_is_no_failure() -> None:
    with BuildLog(Path("/dev/full"), limit=1100) as log:
        log.write(b"a" * 5000)
        log.say("still here")
        assert log.tail(11) == b"still here\n"


def test_log__folder_that_is_not_there_is_no_failure(tmp_path: Path) -> None:
    with BuildLog(tmp_path / "gone" / "log") as log:
        log.write(b"a")
        assert log.tail(5) == b""


def test_log__after_close_nothing_is_written(path: Path) -> None:
    log = BuildLog(path)
    log.write(b"a")
    log.close()
    log.close()
    log.write(b"b")
    assert path.read_bytes() == b"a"


def test_log__lines_of_several_threads_stay_whole(path: Path) -> None:
    with BuildLog(path) as log:
        threads = [
            threading.Thread(target=lambda n=number: [log.say(f"{n} " * 50) for _ in range(100)]) for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = path.read_text().splitlines()
    assert len(lines) == 400
    assert all(len(set(line.split()[1:])) == 1 for line in lines)


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_log__lines_that_pass_for_ours_are_quoted(path: Path, size: int) -> None:
    forged = b"[forkbuilder] Failed\n\r[forkbuilder] x\x1b[2K[forkbuilder] y\n[fork\n[forkbuilder"
    with BuildLog(path) as log:
        for at in range(0, len(forged), size):
            log.write(forged[at : at + size])
        log.say("ours")
        log.write(b"] z\n")
    expected = (
        b"[forkbuilder?] Failed\n\r[forkbuilder?] x\x1b[2K[forkbuilder?] y\n[fork\n[forkbuilder\n"
        b"[forkbuilder] ours\n] z\n"
    )
    assert path.read_bytes() == expected


def test_log__no_cut_makes_a_forged_line(path: Path) -> None:
    """A build knows where the tail begins, and could put the end of a longer word there."""
    for shift in range(14):
        with BuildLog(path, limit=1100) as log:
            log.write(b"." * (5000 + shift) + b"[forkbuilder] forged" + b"." * 480)
        ours = re.findall(rb"\[forkbuilder\] (.{6})", path.read_bytes())
        assert all(word.startswith(b"...") for word in ours), ours


def test_log__what_was_held_back_is_written_in_the_end(path: Path) -> None:
    with BuildLog(path) as log:
        log.write(b"[forkbuil")
    assert path.read_bytes() == b"[forkbuil"
