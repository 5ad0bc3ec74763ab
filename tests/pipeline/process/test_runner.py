from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from devpi_forkbuilder.errors import InfrastructureError, LimitsError
from devpi_forkbuilder.pipeline.process import runner
from devpi_forkbuilder.pipeline.process.command import Command, Finished
from devpi_forkbuilder.pipeline.process.runner import run
from devpi_forkbuilder.pipeline.protocols import CancelledError
from tests.pipeline.watching import Lines, never

Runner = Callable[..., Finished]


@pytest.fixture
def log() -> Lines:
    return Lines()


@pytest.fixture
def start(tmp_path: Path, log: Lines) -> Runner:
    def start(*argv: str, cancelled: Callable[[], bool] = never, timeout: float = 20, **more: object) -> Finished:
        env = {"PATH": os.environ["PATH"]}
        command = Command(argv, env, tmp_path, timeout, "the command", **more)  # type: ignore[arg-type]  # checked by Command
        return run(command, log=log, cancelled=cancelled)

    return start


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "GRACE", 0.4)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def python(*lines: str) -> tuple[str, ...]:
    return sys.executable, "-c", "\n".join(lines)


def test_run__exit_status_and_both_outputs_in_the_log(start: Runner, log: Lines) -> None:
    done = start("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, log.written) == (3, b"out\nerr\n")
    assert done.tail == log.written
    assert done.stdout == b""


def test_run__captured_output_stays_out_of_the_log(start: Runner, log: Lines) -> None:
    done = start("sh", "-c", "echo out; echo err >&2", capture=True)
    assert (done.stdout, log.written) == (b"out\n", b"err\n")


def test_run__signal_is_a_negative_status(start: Runner) -> None:
    assert start("sh", "-c", "kill -9 $$").returncode == -signal.SIGKILL


def test_run__nothing_is_inherited(start: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "secret")
    done = start("env", capture=True)
    assert done.stdout.decode().split("=")[0] == "PATH"
    assert b"CANARY" not in done.stdout


def test_run__descriptors_are_closed(start: Runner) -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        done = start("ls", "/proc/self/fd", capture=True)
    finally:
        os.close(read)
        os.close(write)
    assert len(done.stdout.split()) == 4  # the three, and the one that ls itself opens


def test_run__own_session_and_usual_umask(start: Runner) -> None:
    done = start(*python("import os; print(os.getsid(0) == os.getpid(), oct(os.umask(0)))"), capture=True)
    assert done.stdout == b"True 0o22\n"


def test_run__without_stdin_there_is_nothing_to_read(start: Runner) -> None:
    assert start("cat", capture=True).stdout == b""


def test_run__large_stdin_and_output_do_not_block_each_other(start: Runner) -> None:
    data = os.urandom(3_000_000)
    assert start("cat", stdin=data, capture=True).stdout == data


def test_run__stdin_that_is_not_read_is_no_failure(start: Runner) -> None:
    assert start("true", stdin=b"x" * 3_000_000).returncode == 0


def test_run__closed_outputs(start: Runner) -> None:
    assert start("sh", "-c", "exec >&- 2>&-; exit 5").returncode == 5


def test_run__tail_is_the_end_of_a_long_log(start: Runner, log: Lines) -> None:
    done = start("sh", "-c", "head -c 1000000 /dev/zero; echo end")
    assert len(log.written) == 1_000_004
    assert done.tail == log.written[-16 * 1024 :]


def test_run__timeout(start: Runner) -> None:
    with pytest.raises(LimitsError) as caught:
        start("sleep", "60", timeout=0.3)
    assert caught.value.reference == "timeout"
    assert "the command" in caught.value.what


def test_run__silence(start: Runner) -> None:
    with pytest.raises(LimitsError) as caught:
        start("sh", "-c", "echo begun; sleep 60", silence=0.3)
    assert caught.value.reference == "silence"


def test_run__output_is_no_silence(start: Runner) -> None:
    loop = "i=0; while [ $i -lt 8 ]; do echo $i; sleep 0.1; i=$((i+1)); done"
    assert start("sh", "-c", loop, silence=0.6).returncode == 0


@pytest.mark.parametrize("end", ["", "; sleep 60"])
def test_run__too_much_captured_output(start: Runner, end: str) -> None:
    with pytest.raises(LimitsError) as caught:
        start("sh", "-c", f"head -c 5000 /dev/zero{end}", capture=True, capture_limit=4999)
    assert caught.value.reference == "output-too-large"


def test_run__endless_output_is_ended_by_the_timeout(start: Runner) -> None:
    with pytest.raises(LimitsError) as caught:
        start("sh", "-c", "yes > /dev/stdout", timeout=0.3)
    assert caught.value.reference == "timeout"


def test_run__missing_program(start: Runner) -> None:
    with pytest.raises(InfrastructureError) as caught:
        start("no-such-program-here")
    assert caught.value.reference == "program-missing"
    assert "no-such-program-here" in caught.value.next_step


def test_run__missing_folder(tmp_path: Path, log: Lines) -> None:
    command = Command(("true",), {"PATH": os.environ["PATH"]}, tmp_path / "gone", 5, "true")
    with pytest.raises(InfrastructureError) as caught:
        run(command, log=log, cancelled=never)
    assert caught.value.reference == "folder-missing"


def test_run__program_that_may_not_be_run(start: Runner, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    with pytest.raises(InfrastructureError) as caught:
        start(str(tmp_path / "text"))
    assert caught.value.reference == "spawn-failed"


def test_run__cancelled_before_the_start(start: Runner, tmp_path: Path) -> None:
    with pytest.raises(CancelledError):
        start("touch", str(tmp_path / "marker"), cancelled=lambda: True)
    assert not (tmp_path / "marker").exists()


def test_run__cancelled_while_it_runs(start: Runner, log: Lines) -> None:
    with pytest.raises(CancelledError):
        start("sh", "-c", "echo $$; exec sleep 60", cancelled=lambda: bool(log.written))
    assert not alive(int(log.written))


def test_run__termination_is_asked_for_first(start: Runner, log: Lines) -> None:
    script = "trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    with pytest.raises(LimitsError):
        start("sh", "-c", script, silence=0.5)
    assert log.written.endswith(b"asked\n")


def test_run__termination_ignored_is_the_end_by_force(start: Runner, log: Lines) -> None:
    with pytest.raises(LimitsError):
        start("sh", "-c", "trap '' TERM INT; echo $$; while :; do sleep 60; done", timeout=0.3)
    assert not alive(int(log.written))


def test_run__child_that_holds_the_pipe_does_not_hold_us(start: Runner, log: Lines) -> None:
    done = start("sh", "-c", "sleep 60 & echo $!")
    assert done.returncode == 0
    assert done.seconds < 5
    assert not alive(int(log.written))


def test_run__child_with_its_own_outputs_is_ended_too(start: Runner, log: Lines) -> None:
    start("sh", "-c", "sleep 60 > /dev/null 2>&1 & echo $!")
    assert not alive(int(log.written))


def test_run__child_in_a_session_of_its_own_does_not_hold_us(start: Runner, log: Lines) -> None:
    script = python(
        "import os, sys, time",
        "if os.fork() == 0:",
        "    os.setsid()",
        "    if os.fork() == 0:",
        "        print(os.getpid(), flush=True)",
        "        time.sleep(60)",
        "    os._exit(0)",
        "os.wait()",
        "print('parent', flush=True)",
    )
    done = start(*script)
    escaped = int(next(word for word in log.written.split() if word.isdigit()))
    os.kill(escaped, signal.SIGKILL)
    assert done.returncode == 0
    assert done.seconds < 5


def test_run__spawning_thread_outlives_the_calling_one(start: Runner) -> None:
    """prctl(2): the parent-death signal comes when the spawning *thread* ends, so that must not be the caller."""
    threads = [threading.Thread(target=start, args=("true",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spawners = [thread for thread in threading.enumerate() if thread.name.startswith("forkbuilder-spawner")]
    assert len(spawners) == 1


def test_run__no_descriptor_is_left_open(start: Runner) -> None:
    start("true")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  (no Path for a folder that changes while it is read)
    for _ in range(5):
        start("cat", stdin=b"x", capture=True)
        with pytest.raises(LimitsError):
            start("yes", capture=True, capture_limit=10)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  (as above)
