"""A backup of a running server becomes a server on an empty machine: the same releases, hashes and logins."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.devpi import COMMAND, IMPORTS, ROOT_PASSWORD, DevpiServer
from tests.functional.conftest import each_storage
from tests.live import METADATA, Host, Live, upload
from tests.postgres import Postgres, Storage
from tests.preloaded import preloaded
from tests.processes import Result, Running
from tests.server.app import make_wheel
from tests.surroundings import clean_environment

pytestmark = pytest.mark.functional


def run(folder: Path, *words: str) -> Result:
    return Running(
        [sys.executable, "-c", COMMAND, *words], clean_environment(folder), folder, None, preloaded(IMPORTS)
    ).wait(120)


def place(server: DevpiServer, storage: tuple[str, ...] = ()) -> tuple[str, ...]:
    return ("--serverdir", str(server.serverdir), "--secretfile", str(server.serverdir / "secret"), *storage)


@each_storage
def test_restored__on_an_empty_machine_while_the_server_ran(
    host: Host, storage: Storage, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    forks = [host.fork("inline"), host.fork("pure-setuptools")]
    with DevpiServer(
        tmp_path / "old", "--role", "primary", *host.allowed, METADATA, *storage.options, template=storage.template
    ) as old:
        live = Live(old, host)
        index = live.index_of(*forks)
        before = {fork.project: live.file(index, fork.project) for fork in forks}
        stage = "root/private"
        live.create(stage)
        (old.serverdir / ".forkbuilder" / "passwords").mkdir(parents=True, mode=0o700, exist_ok=True)
        (old.serverdir / ".forkbuilder" / "passwords" / "main").write_text("of-main")
        ended, stop = threading.Event(), threading.Event()

        def write() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                wheel = make_wheel(tmp_path / "wheels", "busy", f"1.{number}")
                upload(old, stage, wheel, "busy", f"1.{number}").check()
            ended.set()

        threading.Thread(target=write, daemon=True).start()
        made = run(tmp_path, "backup", str(tmp_path / "backup"), *place(old, storage.options))
        stop.set()
        assert ended.wait(60)
        assert made.returncode == 0, made.stderr
        token = dict(old.tokens)
        fetched = {fork.name: host.git.fetches(fork.name) for fork in forks}
    assert (tmp_path / "backup").stat().st_mode & 0o77 == 0
    options: tuple[str, ...] = ()
    if storage.options:
        postgres: Postgres = request.getfixturevalue("postgres")
        options = ("--storage", postgres.database())
    new = tmp_path / "new" / "server"
    words = ("--serverdir", str(new), "--secretfile", str(new / "secret"), *options)
    restored = run(tmp_path, "restore", str(tmp_path / "backup"), *words)
    assert restored.returncode == 0, restored.stderr
    assert (new / ".forkbuilder" / "passwords" / "main").read_text() == "of-main"
    with DevpiServer(tmp_path / "new", "--role", "primary", *host.allowed, METADATA, *options) as server:
        live = Live(server, host)
        after = {fork.project: live.file(index, fork.project) for fork in forks}
        for fork in forks:
            assert after[fork.project]["hashes"] == before[fork.project]["hashes"]
            assert live.server.get(after[fork.project]["url"].partition("#")[0]).check().body
            assert host.git.fetches(fork.name) == fetched[fork.name]
        uploads = live.files(stage, "busy")
        assert uploads
        for file in uploads.values():
            server.get(file["url"].partition("#")[0]).check()
        server.tokens = token
        server.create_index("root/later").check()


def test_backup__of_a_damaged_copy_or_into_what_is_there_is_refused(
    devpi_templates: Callable[[bool], Path], tmp_path: Path
) -> None:
    with DevpiServer(tmp_path / "old", "--role", "primary", template=devpi_templates(False)) as old:
        node = (old.serverdir / ".nodeinfo").read_bytes()
        made = run(tmp_path, "backup", str(tmp_path / "backup"), *place(old))
        assert made.returncode == 0, made.stderr
        assert (old.serverdir / ".nodeinfo").read_bytes() == node
        again = run(tmp_path, "backup", str(tmp_path / "backup"), *place(old))
        assert (again.returncode, "is not empty" in again.stderr) == (1, True)
        onto = run(tmp_path, "restore", str(tmp_path / "backup"), *place(old))
        assert (onto.returncode, "is not empty" in onto.stderr) == (1, True)
    changes = tmp_path / "backup" / "changes"
    changes.write_bytes(changes.read_bytes()[:-1] + b"x")
    new = ("--serverdir", str(tmp_path / "new"))
    damaged = run(tmp_path, "restore", str(tmp_path / "backup"), *new)
    assert (damaged.returncode, "damaged: changes" in damaged.stderr) == (1, True)
    (tmp_path / "backup" / "manifest.json").unlink()
    unfinished = run(tmp_path, "restore", str(tmp_path / "backup"), *new)
    assert (unfinished.returncode, "not finished" in unfinished.stderr) == (1, True)
    assert not (tmp_path / "new").exists()


def test_promote__keeps_the_identity_and_the_other_replica_follows(
    host: Host, devpi_templates: Callable[[bool], Path], tmp_path: Path
) -> None:
    built, later = host.fork("inline"), host.fork("pure-setuptools")
    common = (METADATA, "--forkbuilder-read-ahead", "0")
    with DevpiServer(
        tmp_path / "primary", "--role", "primary", *host.allowed, *common, template=devpi_templates(False)
    ) as old:
        first = DevpiServer(tmp_path / "one", *common, primary=old)
        with first, DevpiServer(tmp_path / "two", *common, primary=old) as second:
            index = Live(old, host).index_of(built, later)
            for replica in (first, second):
                replica.wait_for(old)
                page = Live(replica, host).file(index, built.project)
            first.stop()
            promote = ("promote", *place(first))
            refused = run(tmp_path, *promote)
            assert (refused.returncode, "is still there: it answers 200" in refused.stderr) == (1, True)
            assert json.loads((first.serverdir / ".nodeinfo").read_text())["role"] == "replica"
            old.stop()
            nobody = run(tmp_path, *promote, "--new-password", "nobody")
            assert (nobody.returncode, "There is no user nobody" in nobody.stderr) == (1, True)
            promoted = run(tmp_path, *promote, "--new-password", "root")
            assert promoted.returncode == 0, promoted.stderr
            assert "Never start the old primary's directory again" in promoted.stdout
            first.options = ("--role", "primary", *host.allowed, *common)
            first.port = old.port  # as a name that leads to the new primary
            first.start()
            password = first.serverdir / ".forkbuilder" / "passwords" / "root"
            assert (str(password) in promoted.stdout, password.stat().st_mode & 0o777) == (True, 0o600)
            assert first.api("POST", "+login", {"user": "root", "password": ROOT_PASSWORD}).status == 401
            first.login("root", password.read_text())
            assert Live(second, host).file(index, built.project)["hashes"] == page["hashes"]
            Live(first, host).build(index, later.project).check(202)
            assert Live(second, host).file(index, later.project)
            second.wait_for(first)
            assert second.get("+forkbuilder/ready").status == 200
            again = run(tmp_path, "promote", *place(first))
            assert (again.returncode, "is not the directory of a replica" in again.stderr) == (1, True)
