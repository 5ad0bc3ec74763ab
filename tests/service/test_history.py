from __future__ import annotations

from pathlib import Path

from devpi_forkbuilder.service.history import KEPT, BuildHistory, EndedBuild


def test_history__outlives_the_server_and_forgets_what_is_old(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    first = BuildHistory(path)
    first.add_build(EndedBuild(1000.0, 2.0, True))
    first.add_build(EndedBuild(2000.0, 3.0, False))
    first.add_pages({5: (1, 2)})
    first.close()
    second = BuildHistory(path)
    second.add_pages({5: (10, 20), 6: (1, 0)})
    assert second.builds(1500) == [EndedBuild(2000.0, 3.0, False)]
    assert second.pages(0) == {5: (11, 22), 6: (1, 0)}
    second.add_build(EndedBuild(1500.0 + KEPT, 1.0, True))
    assert [one.at for one in second.builds(0)] == [2000.0, 1500.0 + KEPT]
    second.close()


def test_history__a_file_that_cannot_be_used_costs_charts_only(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").write_bytes(b"this is no database, and long enough to be taken for one" * 20)
    history = BuildHistory(tmp_path / "history.sqlite")
    history.add_build(EndedBuild(1.0, 1.0, True))
    assert history.builds(0) == [EndedBuild(1.0, 1.0, True)]
    history.close()
    history.add_build(EndedBuild(2.0, 1.0, True))
    assert history.builds(0) == []
