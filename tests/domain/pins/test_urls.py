from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devpi_forkbuilder.domain.pins.urls import LONGEST, url_faults
from tests.domain.strategies import nearly, quick, urls


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.com/campus/wiki.git",
        "https://git.example.com/campus/wiki/",
        "https://git.example.com:8443/~campus/a+b=c,d/wiki%20x",
        "http://127.0.0.1:8080/r.git",
        "https://[::1]:8443/r.git",
        "ssh://git@git.example.com/campus/wiki",
        "ssh://git.example.com:2222/campus/wiki",
        "file:///srv/git/wiki.git",
    ],
)
def test_url_faults__has_none_for_plain_urls(url):
    assert url_faults(url) == []


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "scheme '' is not known"),
        ("git://git.example.com/r", "scheme 'git' is not known"),
        ("ext::sh -c x", "white space"),
        ("ext::sh", "scheme"),
        ("--upload-pack=x", "scheme"),
        ("https:git.example.com/r", "scheme"),
        ("https://-oProxyCommand=x/r", "is not a host name"),
        ("ssh://-oProxyCommand=x/r", "is not a host name"),
        ("ssh://git:pw@git.example.com/r", "user info"),
        ("ssh://-l@git.example.com/r", "login name"),
        ("https://token@git.example.com/r", "user info"),
        ("https://@git.example.com/r", "user info"),
        ("https://git.example.com/a\nb", "control"),
        ("https://git.example.com/a%0ab", "control"),
        ("https://git.example.com/a\\b", "control"),
        ("https://git.exämple.com/r", "non-ASCII"),
        ("https://git.example.com/-r", "begins with '-'"),
        ("https://git.example.com/a/../b", "'..'"),
        ("https://git.example.com/a/%2E%2e/b", "'..'"),
        ("https://git.example.com/r?x=1", "query"),
        ("https://git.example.com/r?", "query"),
        ("https://git.example.com", "no plain path"),
        ("https://git.example.com:campus/r", "cannot be parsed"),
        ("https://git.example.com:99999/r", "cannot be parsed"),
        ("https://[::1/r", "cannot be parsed"),
        ("file://host/srv/r", "file URL has a host"),
        ("https://git.example.com/" + "a" * LONGEST, "too long"),
    ],
)
def test_url_faults__names_the_fault(url, problem):
    assert any(problem in found for found, _ in url_faults(url)), url_faults(url)


@quick
@given(urls)
def test_url_faults__agrees_with_the_urls_that_other_tests_draw(url):
    assert url_faults(url) == []


@quick
@given(nearly | st.text(max_size=30))
def test_url_faults__never_fails(url):
    assert all(problem and fix for problem, fix in url_faults(url))
