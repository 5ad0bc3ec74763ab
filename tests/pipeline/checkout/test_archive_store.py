"""The source outlives the repository: archives of exact trees, and builds from them."""

from __future__ import annotations

import gzip
import shutil
import tarfile
from pathlib import Path
from threading import Thread

import pytest

from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError, SourceError
from devpi_forkbuilder.pipeline.builder import WheelBuilder
from devpi_forkbuilder.pipeline.checkout.archive_writer import Part, keep
from devpi_forkbuilder.pipeline.git.archive_store import ArchivedSource, Sources, Tag
from tests.pipeline.benches import Follower, order, wheel_builder
from tests.pipeline.watching import watch
from tests.repositories import Link, Program, Repositories, Repository

ODD = {
    "crlf.txt": "one\r\ntwo\r\n",
    "eol.txt": "one\ntwo\n",
    ".gitattributes": "*.txt text=auto\neol.txt eol=crlf\nident.py ident\nsecret export-ignore\nsubst export-subst\n",
    "ident.py": "# $Id$\n",
    "secret": "kept out of git archive\n",
    "subst": "$Format:%H$\n",
    "run": Program("#!/bin/sh\n"),
    "folder/link": Link("../run"),
    'a name with "quotes" and \\ and \t': "odd\n",
    "empty": "",
    "größe.txt": "umlaut\n",
}


def built(shop: WheelBuilder, line: str, follower: Follower | None = None, **more: object) -> list[tuple[str, str]]:
    with shop.build(order(line, **more), follower or Follower()) as result:
        return [(artefact.filename, artefact.sha256) for artefact in result.artefacts]


def forget(shop: WheelBuilder, *repositories: Repository) -> None:
    """The repositories are gone, and so are this server's mirrors of them."""
    for repository in repositories:
        shutil.rmtree(repository.path)
    shutil.rmtree(shop.source.mirrors.root)


def archive_of(shop: WheelBuilder, line: str) -> Path:
    pin = Pin.parse(line)
    assert shop.source.sources is not None
    path = shop.source.sources.find(pin.url, pin.commit)
    assert path is not None
    return path


def test_archive__a_build_from_it_gives_the_same_bytes(tmp_path: Path, repositories: Repositories) -> None:
    fork = repositories.make("inline", files=ODD)
    line, shop, follower = repositories.pin_line(fork), wheel_builder(tmp_path), Follower()
    first = built(shop, line)
    forget(shop, fork)
    assert built(shop, line, follower) == first
    assert "its source is taken from this server's archive" in follower.log.text


def test_archive__is_made_when_the_files_are_out(tmp_path: Path, repositories: Repositories) -> None:
    line, shop = repositories.pin_line(repositories.make("inline")), wheel_builder(tmp_path)
    pin = Pin.parse(line)
    assert shop.source.sources is not None
    with shop.build(order(line), Follower()):
        assert shop.source.sources.find(pin.url, pin.commit) is None
    assert shop.source.sources.find(pin.url, pin.commit) is not None


def test_archive__is_the_exact_tree(tmp_path: Path, repositories: Repositories) -> None:
    fork = repositories.make("inline", files=ODD)
    line, shop = repositories.pin_line(fork), wheel_builder(tmp_path)
    built(shop, line)
    with tarfile.open(archive_of(shop, line)) as archive:
        members = {member.name.partition("/")[2]: member for member in archive}
        listed = repositories.git("ls-tree", "-r", "-z", "--name-only", fork.commit, at=fork.path).split("\0")
        assert sorted(members) == sorted(filter(None, listed))
        for name, content in ODD.items():
            if isinstance(content, str):
                file = archive.extractfile(members[name])
                assert file is not None
                assert file.read().decode() == content
        assert members["run"].mode & 0o100
        assert members["folder/link"].linkname == "../run"
        assert {member.mtime for member in members.values()} == {315532800}
        assert {(member.uid, member.gid, member.uname) for member in members.values()} == {(0, 0, "")}


def test_archive__two_servers_keep_the_same_bytes_once_for_each_tree(
    tmp_path: Path, repositories: Repositories
) -> None:
    fork = repositories.make("inline")
    again = repositories.commit(fork, {})  # another commit of the same tree
    archives = set()
    for name in ("one", "two"):
        shop = wheel_builder(tmp_path / name)
        for commit in (fork.commits[0], again):
            line = repositories.pin_line(fork, commit=commit)
            built(shop, line)
            archives.add(archive_of(shop, line).read_bytes())
        assert shop.source.sources is not None
        assert len(list((shop.source.sources.root / "trees").iterdir())) == 1
    assert len(archives) == 1


def test_archive__with_submodules(tmp_path: Path, repositories: Repositories) -> None:
    fork = repositories.make("submodule")
    line, shop = repositories.pin_line(fork), wheel_builder(tmp_path)
    first = built(shop, line)
    with tarfile.open(archive_of(shop, line)) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert any(name.startswith("vendor/part/") for name in names)
    shutil.rmtree(fork.path.parent / "submodule-part.git")
    forget(shop, fork)
    assert built(shop, line) == first


def test_archive__one_urls_source_is_not_anothers(tmp_path: Path, repositories: Repositories) -> None:
    fork = repositories.make("inline")
    shop = wheel_builder(tmp_path)
    built(shop, repositories.pin_line(fork))
    other = repositories.empty("other")
    repositories.commit(other, {"README": "another repository"})
    with pytest.raises(ForkbuilderError) as caught:
        built(shop, repositories.pin_line(other, project="inline", commit=fork.commit))
    assert caught.value.reference == "commit-missing"


def test_archive__that_is_damaged_is_told(tmp_path: Path, repositories: Repositories) -> None:
    fork = repositories.make("inline")
    line, shop = repositories.pin_line(fork), wheel_builder(tmp_path)
    built(shop, line)
    forget(shop, fork)
    archive = archive_of(shop, line)
    content = gzip.decompress(archive.read_bytes())
    for bad in (archive.read_bytes()[:100], b"no archive", gzip.compress(content.replace(b"inline", b"inlime"))):
        archive.write_bytes(bad)
        with pytest.raises(SourceError) as caught:
            built(shop, line)
        assert caught.value.reference == "source-archive-damaged"
        shutil.rmtree(shop.source.mirrors.root)


def test_archive__nothing_is_kept_of_what_was_not_built(tmp_path: Path, repositories: Repositories) -> None:
    line, shop = repositories.pin_line(repositories.make("fails")), wheel_builder(tmp_path)
    with pytest.raises(ForkbuilderError):
        built(shop, line)
    assert shop.source.sources is not None
    assert shop.source.sources.find(Pin.parse(line).url, Pin.parse(line).commit) is None


def test_archive__that_cannot_be_written_spoils_no_build(tmp_path: Path, repositories: Repositories) -> None:
    line, shop, follower = repositories.pin_line(repositories.make("inline")), wheel_builder(tmp_path), Follower()
    assert shop.source.sources is not None
    shop.source.sources.root.write_text("a file is in the way")
    assert built(shop, line, follower)
    assert "could not be kept" in follower.log.text


@pytest.mark.network
@pytest.mark.parametrize("distance", [0, 2])
def test_archive__keeps_the_version_that_came_from_tags(
    tmp_path: Path, repositories: Repositories, distance: int
) -> None:
    fork = repositories.make("version-from-tags")
    for number in range(distance):
        repositories.commit(fork, {f"change{number}": "x"})
    line, shop = repositories.pin_line(fork, version=""), wheel_builder(tmp_path)
    first = built(shop, line)
    forget(shop, fork)
    assert built(shop, line) == first


def test_kept__is_written_and_read(tmp_path: Path) -> None:
    kept = ArchivedSource(
        "t" * 40, "u" * 40, b"tree x\n\xff", "a/b", (Tag("refs/tags/v1", "c" * 40, b"tag"),), {"m": "d" * 40}, True
    )
    sources = Sources(tmp_path)
    sources.write("https://h/x", "c" * 40, kept)
    assert sources.read("https://h/x", "c" * 40) == kept
    assert sources.read("https://h/y", "c" * 40) is None
    assert sources.find("https://h/x", "c" * 40) is None


NOTED = ("https://h/x", "c" * 40)


def kept_of(subdirectory: str) -> ArchivedSource:
    return ArchivedSource("t" * 40, "t" * 40, b"tree x", versions={subdirectory: "1"})


class Interrupted(Sources):
    """While it is about to write, another one writes too, and is done unless it has to wait."""

    other: Thread | None = None

    def read(self, url: str, commit: str) -> ArchivedSource | None:
        known = super().read(url, commit)
        if self.other is None:
            self.other = Thread(target=Sources(self.root).write, args=(*NOTED, kept_of("b")))
            self.other.start()
            self.other.join(0.3)
        return known


def test_kept__two_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    sources = Interrupted(tmp_path)
    sources.write(*NOTED, kept_of("a"))
    assert sources.other is not None
    sources.other.join(10)
    kept = sources.read(*NOTED)
    assert kept is not None
    assert kept.versions == {"a": "1", "b": "1"}


@pytest.mark.parametrize("taken", ["locks", "commits"])
def test_kept__that_cannot_be_written(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("a file is in the way")
    with pytest.raises(InfrastructureError) as caught:
        Sources(tmp_path).write(*NOTED, kept_of(""))
    assert caught.value.reference == "disk-failed"


def test_archive__that_cannot_be_made(tmp_path: Path) -> None:
    shop = wheel_builder(tmp_path / "shop")
    (tmp_path / "trees").write_text("a file is in the way")
    with pytest.raises(InfrastructureError) as caught:
        keep(Sources(tmp_path), shop.source.mirrors, [Part(*NOTED, "t" * 40, "", ())], {}, watch())
    assert caught.value.reference == "disk-failed"


def test_archive__is_written_once_by_those_who_keep_the_same_tree(tmp_path: Path, repositories: Repositories) -> None:
    fork, shop, sources = repositories.make("inline"), wheel_builder(tmp_path), Sources(tmp_path / "kept")
    line = repositories.pin_line(fork)
    built(shop, line)
    pin = Pin.parse(line)
    assert shop.source.sources is not None
    noted = shop.source.sources.read(pin.url, pin.commit)
    assert noted is not None
    part = Part(pin.url, pin.commit, noted.tree, "", ())
    with sources.held(noted.tree):
        other = Thread(target=keep, args=(sources, shop.source.mirrors, [part], {"": "1"}, watch()))
        other.start()
        other.join(0.3)
        assert not sources.archive(noted.tree).exists()
        assert other.is_alive()
    other.join(10)
    assert sources.find(pin.url, pin.commit) is not None
