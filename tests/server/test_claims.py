"""Who builds, where several processes share a server directory."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from devpi_forkbuilder.devpi.cluster_lock import FILE, ClusterLocks, FileLock, number_of
from devpi_forkbuilder.domain.pins.orders import OrderKey
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.protocols import CancelledError
from tests.server.app import COMMIT, OTHER, App

KEY = OrderKey("root/forks", "alpha", COMMIT, "1.0", "", "3.11")


def test_lock__is_for_one_at_a_time_and_for_one_number(tmp_path: Path) -> None:
    path = tmp_path / "locks"
    with closing(FileLock(path, 7)) as first, closing(FileLock(path, 7)) as second, closing(FileLock(path, 8)) as other:
        assert first.taken()
        assert not second.taken()
        assert other.taken()
    with closing(FileLock(path, 7)) as third:
        assert third.taken()
    assert path.stat().st_size == 0
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [0, 2**63 - 1])
def test_lock__takes_every_number_of_63_bits(tmp_path: Path, number: int) -> None:
    with closing(FileLock(tmp_path / "locks", number)) as lock:
        assert lock.taken()


def test_lock__in_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError) as told:
        FileLock(tmp_path / "gone" / "locks", 1)
    assert told.value.reference == "claims-unusable"


def test_number_of__is_that_of_the_group() -> None:
    assert number_of(KEY) == number_of(replace(KEY, python="3.12"))
    assert number_of(KEY) != number_of(replace(KEY, commit=OTHER))
    assert 0 <= number_of(KEY) < 2**63


def test_claims__who_waits_can_be_cancelled(app: App) -> None:
    cluster_locks = ClusterLocks(app.xom)
    looked: list[bool] = []

    def cancelled() -> bool:
        looked.append(True)
        return len(looked) == 2

    with cluster_locks(KEY, lambda: False):
        with pytest.raises(CancelledError), ClusterLocks(app.xom)(KEY, cancelled):
            pass
        assert (Path(app.xom.config.server_path) / FILE).is_file()
    with cluster_locks(KEY, lambda: True):
        pass
