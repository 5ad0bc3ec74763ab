from __future__ import annotations

import pytest

from devpi_forkbuilder.domain.simple.offline import WORDS, absent_file, absent_fork, absent_project


@pytest.mark.parametrize(
    "phrase", [absent_file("a-1.0.tar.gz"), absent_fork("a 1.0 from 1a2b3c4"), absent_project("a")]
)
def test_absent__always_has_the_same_words(phrase: str) -> None:
    assert phrase.startswith("a")
    assert WORDS in phrase


@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: x", "é\x00\x7f", "a" * 10_000])
def test_absent__is_one_line_of_ascii(name: str) -> None:
    phrase = absent_file(name)
    assert phrase.isascii()
    assert phrase.isprintable()
    assert len(phrase) <= 500
    assert WORDS in phrase
