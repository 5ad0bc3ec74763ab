from __future__ import annotations

import pytest

from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import (
    BuildError,
    ForkbuilderError,
    InfrastructureError,
    LimitsError,
    MismatchError,
    RefusedError,
    SourceError,
)
from devpi_forkbuilder.service.records import Record
from devpi_forkbuilder.service.retry import decide, retry_after, retry_at
from tests.service.fakes import order


def failed(retry_at: float | None) -> Record:
    return Record(order().key, State.FAILED, fingerprint="f", attempts=1, finished_at=100.0, retry_at=retry_at)


@pytest.mark.parametrize("state", [state for state in State if state is not State.FAILED])
def test_decide__what_did_not_fail(state: State) -> None:
    assert decide(Record(order().key, state, fingerprint="f"), "f", 0.0, force=False)


def test_decide__first_time() -> None:
    assert decide(None, "f", 0.0, force=False)


@pytest.mark.parametrize(
    ("retry_at", "fingerprint", "now", "force", "expected"),
    [
        (None, "f", 1e12, False, False),
        (None, "f", 100.0, True, True),
        (None, "other", 100.0, False, True),
        (105.0, "f", 104.9, False, False),
        (105.0, "f", 105.0, False, True),
        (105.0, "f", 101.0, True, True),
        (105.0, "other", 101.0, False, True),
        (105.0, "f", 99.0, False, True),  # the clock was set back
        (None, "f", 99.0, False, False),
    ],
)
def test_decide__failed(retry_at: float | None, fingerprint: str, now: float, force: bool, expected: bool) -> None:
    assert decide(failed(retry_at), fingerprint, now, force) is expected


def test_retry_after__grows_to_a_limit() -> None:
    assert [retry_after(attempts) for attempts in range(8)] == [5, 5, 15, 45, 135, 405, 900, 900]
    assert retry_after(10**9) == 900


def test_retry_at__never_long_for_the_network_of_others() -> None:
    """Whoever asks a minute after an index is back gets a build."""
    pauses = [retry_at(InfrastructureError("index-unreachable", "x"), attempts, 0.0) for attempts in range(1, 8)]
    assert pauses == [5, 15, 45, 45, 45, 45, 45]


def test_retry_at__slow_where_the_fork_may_be_to_blame() -> None:
    pauses = [retry_at(BuildError("x", "x", retryable=True), attempts, 0.0) for attempts in range(1, 8)]
    assert pauses == [120, 240, 480, 960, 1800, 1800, 1800]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InfrastructureError("x", "x"), 115.0),
        (InfrastructureError("x", "x", retryable=False), None),
        (SourceError("x", "x", retryable=True), 115.0),
        (SourceError("x", "x"), None),
        (BuildError("x", "x"), None),
        (BuildError("x", "x", retryable=True), 340.0),
        (InfrastructureError("index-unreachable", "x"), 115.0),
        (LimitsError("x", "x"), None),
        (MismatchError("x", "x"), None),
        (RefusedError("x", "x"), None),
    ],
)
def test_retry_at__by_kind(error: ForkbuilderError, expected: float | None) -> None:
    assert retry_at(error, 2, 100.0) == expected
