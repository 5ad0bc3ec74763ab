from __future__ import annotations

from pathlib import Path

import pytest

from devpi_forkbuilder.errors import RefusedError, SourceError
from devpi_forkbuilder.pipeline.checkout.remote_files import read_remote_files
from tests.gitserver import BadServer, GitServer
from tests.repositories import Link, Repositories
from tests.surroundings import clean_environment


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return clean_environment(tmp_path)


PATHS = ("setup.cfg", "sub/setup.py", "link", "missing", "big")


def test_remote_files__only_regular_files_that_are_there(repositories: Repositories, git_server: GitServer, environ):
    files = {"setup.cfg": "[metadata]\n", "sub/setup.py": "x", "link": Link("setup.cfg"), "big": "x" * (1 << 21)}
    fork = repositories.make("inline", name="files", files=files)
    found = read_remote_files(git_server.repository_url("files"), fork.commit, PATHS, environ)
    assert found == {"setup.cfg": "[metadata]\n", "sub/setup.py": "x"}


def test_remote_files__of_a_host_that_gives_refs_only_and_cannot_filter(repositories, git_server, environ):
    fork = repositories.make("same-version-two-commits", name="old-host", files={"setup.cfg": "one"})
    git_server.refuse_ids("old-host")
    git_server.refuse_filters("old-host")
    assert read_remote_files(git_server.repository_url("old-host"), fork.commits[0], PATHS, environ) == {
        "setup.cfg": "one"
    }


def test_remote_files__what_cannot_be_read(repositories, git_server, environ):
    fork = repositories.make("inline", name="gone")
    with pytest.raises(SourceError, match="has commit 0000000"):
        read_remote_files(git_server.repository_url("gone"), "0" * 40, PATHS, environ)
    with BadServer("drop") as server, pytest.raises(SourceError):
        read_remote_files(server.repository_url("gone"), fork.commit, PATHS, environ)
    with pytest.raises(RefusedError):
        read_remote_files("ext::sh -c id", fork.commit, PATHS, environ)
    with pytest.raises(RefusedError):
        read_remote_files(git_server.repository_url("gone"), "--upload-pack=x", PATHS, environ)
