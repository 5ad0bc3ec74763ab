from __future__ import annotations

from devpi_forkbuilder.domain.charts import HEIGHT, bars, median, places, spread


def test_places__the_last_span_has_now_in_it() -> None:
    assert places(7205, 3600, 3) == [0, 3600, 7200]


def test_spread__each_value_in_its_span() -> None:
    assert spread([0, 10, 20], 10, [(-1, 9), (0, 1), (9.9, 2), (25, 3), (30, 9)]) == [[1, 2], [], [3]]


def test_bars__stand_on_each_other_and_the_highest_fills_the_picture() -> None:
    drawn, top = bars([("good", [2.0, 0.0]), ("bad", [2.0, 1.0])], lambda place: f"at {place}")
    assert top == 4
    assert [(bar.kind, bar.y, bar.height, bar.label) for bar in drawn] == [
        ("good", HEIGHT / 2, HEIGHT / 2, "at 0"),
        ("bad", 0, HEIGHT / 2, "at 0"),
        ("bad", HEIGHT * 3 / 4, HEIGHT / 4, "at 1"),
    ]


def test_bars__of_nothing_are_none() -> None:
    assert bars([("good", [0.0, 0.0])], str) == ((), 0.0)
    assert median([]) == 0


def test_median__of_an_odd_and_an_even_number() -> None:
    assert (median([9, 1, 2]), median([4, 1, 2, 3])) == (2, 2.5)
