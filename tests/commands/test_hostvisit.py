"""`doctor` on the network: each host is tried in the way that builds reach it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from devpi_forkbuilder.commands.doctor.findings import Verdict
from devpi_forkbuilder.commands.doctor.hostvisit import check_network, hosts_of
from devpi_forkbuilder.domain.pins.policy import PinPolicy
from devpi_forkbuilder.options import Options
from devpi_forkbuilder.pipeline.process.programs import find_uv
from tests.server.test_options import read

PROXY = {"HTTPS_PROXY": "http://somebody:sesame@127.0.0.1:1", "PATH": os.environ["PATH"]}


def options(folder: Path, *prefixes: str, credentials: str = "") -> Options:
    found = replace(read(folder=folder), policy=PinPolicy(prefixes=prefixes))
    if not credentials:
        return found
    file = folder / "credentials"
    file.write_text(credentials)
    file.chmod(0o600)
    return replace(found, credentials=file)


def test_check_network__a_proxy_that_is_not_there(tmp_path: Path) -> None:
    given = options(tmp_path, "https://git.example.com/org/")
    found = {one.name: one for one in check_network(given, PROXY, find_uv(os.environ["PATH"]).path)}
    assert list(found) == ["network", "public-index", "host git.example.com"]
    assert "HTTPS_PROXY=" in found["network"].what
    assert found["public-index"].state is Verdict.WARNING
    assert found["host git.example.com"].state is Verdict.FAILED
    assert "127.0.0.1 port 1" in found["host git.example.com"].what
    assert "SSL_CERT_FILE" in found["host git.example.com"].fix
    assert "sesame" not in "".join(one.what + one.fix for one in found.values())


def test_hosts_of__each_once_and_without_logins(tmp_path: Path) -> None:
    login = "https://me:sesame@git.example.com\nhttps://me:x@other.example:8443/org\n"
    given = options(tmp_path, "https://git.example.com/org/", "ssh://git.example.com/", credentials=login)
    assert hosts_of(given)[0] == "https://git.example.com/"
    assert len(hosts_of(given)) == 2
    assert "sesame" not in "".join(hosts_of(given))


def test_check_network__nothing_is_set(tmp_path: Path) -> None:
    (found,) = check_network(options(tmp_path), {"PATH": os.environ["PATH"]}, None)
    assert (found.name, found.state) == ("network", Verdict.OK)


@pytest.mark.network
def test_check_network__the_public_index_answers(tmp_path: Path) -> None:
    found = check_network(options(tmp_path), dict(os.environ), find_uv(os.environ["PATH"]).path)
    assert found[1].state is Verdict.OK, found[1].what
