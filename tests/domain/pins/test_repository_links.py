from __future__ import annotations

import pytest

from devpi_forkbuilder.domain.pins.repository_links import RepositoryLinks, readable_repository, repository_links


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.com/o/n.git",
        "file:///srv/github.com/o/n",
        "https://github.com",
        "https://github.com/o",
        "https://github.com:port/o/n",
        "https://evil-github.com/o/n",
        "https://[broken/o/n",
    ],
)
def test_repository_links__of_an_unknown_host_are_none(url: str) -> None:
    assert repository_links(url, "c") == RepositoryLinks()


def test_repository_links__cannot_leave_the_attribute() -> None:
    links = repository_links('https://github.com/o/n"><script>.git', "c")
    assert links.repository == "https://github.com/o/n%22%3E%3Cscript%3E"


@pytest.mark.parametrize("url", ["https://github.com/o/n.git", "ssh://git@github.com/o/n", "http://u:p@github.com/o/n"])
def test_readable_repository__has_no_user(url: str) -> None:
    assert readable_repository(url) == "github.com/o/n"
