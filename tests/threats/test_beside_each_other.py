"""Hostile forks on a live server: each ends in a state that says why, and everybody else is served meanwhile."""

from __future__ import annotations

import time

import pytest

from tests.functional.conftest import MakeLive
from tests.live import in_threads
from tests.threats.hostile import attacking

FORKS = """
def attack(folder, settings):
    started = 0
    try:
        while started < 5000:
            if os.fork() == 0:
                threading.Event().wait()
            started += 1
    except OSError as error:
        sys.exit(f"stopped after {started} processes: {error}")
"""
MEMORY = """
def attack(folder, settings):
    x = [bytearray(1 << 30) for _ in range(99)]
"""
SLEEP = """
def attack(folder, settings):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Event().wait()
"""
ESCAPES = """
def attack(folder, settings):
    print("\\x1b]0;owned\\x07<script>alert(1)</script>\\r" * 1000, flush=True)
    sys.exit("\\x1b[2J<script>")
"""
# The children of the first one keep its output open: it ends by its silence. The second meets a process's bound, or
# the whole build's; a busy machine takes so long to fill that memory that it may be its silence, too.
ATTACKS = {FORKS: {"limits", "build"}, MEMORY: {"build", "limits"}, SLEEP: {"limits"}, ESCAPES: {"build"}}


@pytest.mark.slow
def test_server__with_hostile_forks_serves_the_others(own: MakeLive) -> None:
    live = own("--forkbuilder-workers", "3", "--forkbuilder-build-timeout", "20", "--forkbuilder-silence-timeout", "8")
    forks = [
        live.host.fork("inline", project=f"evil-{number}", files=attacking(code)) for number, code in enumerate(ATTACKS)
    ]
    good = live.host.fork("inline", project="good")
    index = live.index_of(*forks, good)
    ended: dict[str, str] = {}

    def build(project: str) -> None:
        state = live.outcome(index, project)
        assert state["state"] == "failed", project
        assert state["error"]["message"].isprintable()
        ended[project] = state["error"]["kind"]

    threads = in_threads([lambda name=fork.project: build(name) for fork in forks])
    slowest = 0.0
    while any(thread.is_alive() for thread in threads):
        begin = time.monotonic()
        live.server.get("+api").check()
        slowest = max(slowest, time.monotonic() - begin)
        if "good" not in ended:
            ended["good"] = live.outcome(index, "good")["state"]
        time.sleep(0.05)  # how soon it answers is what is measured
    assert ended.pop("good") == "built"
    for fork, kinds in zip(forks, ATTACKS.values(), strict=True):
        assert ended.pop(fork.project) in kinds, fork.project
    assert slowest < 10  # far below what a server that is held up takes; other work on the machine is not a fault
    log = live.server.log_text()
    assert "\x1b" not in log
    assert "<script>" not in log
