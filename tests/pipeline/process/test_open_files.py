"""The limit of open files."""

from __future__ import annotations

import resource

from devpi_forkbuilder.pipeline.process.open_files import WANTED, hard_limit, raise_limit


def test_raise_limit__takes_what_it_may() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        most = hard_limit()
        assert raise_limit() == (WANTED if most is None else min(most, WANTED))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
