"""A build that runs out of memory says so, and which option is the bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from devpi_forkbuilder.errors import LimitsError
from devpi_forkbuilder.pipeline.frontend.out_of_memory import judge_memory
from devpi_forkbuilder.pipeline.process.command import Finished
from devpi_forkbuilder.pipeline.sandbox.probe import choose_tier
from devpi_forkbuilder.pipeline.sandbox.rlimits import ResourceLimits
from tests.pipeline.benches import wheel_builder
from tests.pipeline.test_builder import failure
from tests.repositories import Repositories

GIBIBYTE = 1 << 30


@pytest.mark.parametrize(
    ("code", "reference", "option"),
    [
        (f"bytearray({4 * GIBIBYTE})", "memory-refused", "--forkbuilder-limit-memory"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed", "--forkbuilder-limit-total-memory"),
    ],
)
def test_build__out_of_memory(
    tmp_path: Path, repositories: Repositories, code: str, reference: str, option: str
) -> None:
    fork = repositories.make(
        "inline", name=reference, files={"inline_backend.py": f"def build_wheel(*_):\n    {code}\n"}
    )
    limits = ResourceLimits(memory=GIBIBYTE)
    sandbox = choose_tier("auto", scratch=tmp_path, readable=(), limits=limits)
    shop = wheel_builder(tmp_path, sandbox=sandbox)
    error = failure(shop, repositories.pin_line(fork), LimitsError)
    assert error.reference == reference
    assert option in str(error)


@pytest.mark.parametrize(
    ("status", "tail", "reference"),
    [
        (1, b"Traceback (most recent call last):\n  x = [0] * n\nMemoryError\n", "memory-refused"),
        (
            2,
            b"cc1plus: out of memory allocating 65536 bytes after a total of 1 bytes\nCannot allocate memory\n",
            "memory-refused",
        ),
        (2, b"terminate called after throwing an instance of 'std::bad_alloc'\n", "memory-refused"),
        (101, b"memory allocation of 4194304 bytes failed\n", "memory-refused"),
        (1, b"c++: fatal error: Killed signal terminated program cc1plus\ncompilation terminated.\n", "killed"),
        (2, b"make: *** [Makefile:3: all] Error 137\n/bin/sh: line 1: 12 Killed\n", ""),
        (-9, b"", "killed"),
        (137, b"", "killed"),
        (0, b"MemoryError\n", ""),
        (1, b"test_raises_MemoryError ... ok\nerror: no such file\n", ""),
        (1, b"MemoryError\n" + b"and so on\n" * 60, ""),
    ],
)
def test_judge__words_of_languages(status: int, tail: bytes, reference: str) -> None:
    done = Finished(status, 1.0, tail=tail)
    if not reference:
        judge_memory(done, "The build")
        return
    with pytest.raises(LimitsError) as caught:
        judge_memory(done, "The build")
    assert caught.value.reference == reference
