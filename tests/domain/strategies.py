"""What the property tests of this folder draw from, and how much of it: the ring has to stay under two seconds."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from devpi_forkbuilder.domain.pins.pins import Pin

quick = settings(max_examples=40, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


def texts(alphabet: str, most: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=1, max_size=most)


names = st.builds("{}{}".format, texts("abzABZ09", 3), st.sampled_from(("", ".b", "-dev", "_1", "--x")))
commits = st.integers(0, 16**40 - 1).map("{:040x}".format) | texts("019", 1).map(lambda digit: digit * 40)
versions = st.builds(
    "{}{}".format,
    st.lists(st.integers(0, 999), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts))),
    st.sampled_from(("", "", "a1", "rc2", ".post1", ".dev3", "rc1.post2.dev3")),
)
folders = st.lists(texts("a1_", 3), min_size=1, max_size=3).map("/".join)
urls = st.builds(
    "{}{}.example.com{}/{}/{}{}".format,
    st.sampled_from(("https://", "ssh://git@", "ssh://", "http://")),
    texts("abz", 3),
    st.sampled_from(("", ":8443")),
    texts("abz~", 3),
    texts("azAZ09_", 4),
    st.sampled_from(("", ".git", "@v1")),
)
pins = st.builds(
    Pin, project=names, url=urls, commit=commits, version=st.none() | versions, subdirectory=st.none() | folders
)

PIECES = """git+ https:// ssh://git@ git@ h.example.com : / o/r.git @ #egg= == = & subdirectory= [ ] ;
python_version '3' -e -r --hash=sha256: ${A} a 0000000000000000000000000000000000000000 %2e .. - é"""
pieces = st.sampled_from((*PIECES.split(), " ", " ; ", " #", "\\\n", "\n", "\r\n", "\t", "\ufeff", "\x0c", "\u2028"))
nearly = st.lists(pieces | st.text(max_size=3), max_size=14).map("".join)
