from __future__ import annotations

import os
from pathlib import Path

import pytest

from devpi_forkbuilder.pipeline.process.environment import network_variables
from devpi_forkbuilder.pipeline.process.network_settings import (
    network_settings,
    pip_files,
    pip_options,
    with_network_settings,
)

CA = "/ca.pem"


def added(environ: dict[str, str], pip: dict[str, str] | None = None) -> dict[str, str]:
    return network_settings(environ, pip or {}, is_file=lambda path: path.endswith(".pem"))


@pytest.mark.parametrize(
    ("environ", "pip", "names"),
    [
        ({"SSL_CERT_FILE": CA}, {}, {"REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO"}),
        ({"REQUESTS_CA_BUNDLE": CA}, {}, {"SSL_CERT_FILE", "GIT_SSL_CAINFO"}),
        ({"PIP_CERT": CA}, {}, {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO"}),
        ({}, {"cert": CA}, {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO"}),
        ({"GIT_SSL_CAINFO": CA}, {}, set()),  # of one git host: it would shut the public index out
        ({"REQUESTS_CA_BUNDLE": "/a/folder"}, {}, set()),
        ({"SSL_CERT_FILE": CA, "GIT_SSL_CAINFO": "/git.pem"}, {}, {"REQUESTS_CA_BUNDLE"}),
        ({"SSL_CERT_DIR": "/certs"}, {"cert": CA}, set()),
        ({}, {}, set()),
    ],
)
def test_certificates(environ: dict[str, str], pip: dict[str, str], names: set[str]) -> None:
    assert added(environ, pip) == dict.fromkeys(names, CA)


def test_proxy__of_pip_is_everybodys_and_never_for_this_server() -> None:
    found = added({}, {"proxy": "proxy.example:3128"})
    assert found["HTTPS_PROXY"] == found["http_proxy"] == "http://proxy.example:3128"
    assert found["NO_PROXY"] == found["no_proxy"] == "127.0.0.1,localhost,::1"


def test_proxy__of_the_environment_comes_first() -> None:
    found = added({"https_proxy": "http://a:1", "NO_PROXY": "intern.example"}, {"proxy": "http://b:2"})
    assert "HTTPS_PROXY" not in found
    assert found["NO_PROXY"] == "intern.example,127.0.0.1,localhost,::1"
    assert "NO_PROXY" not in added({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "*"})


def test_pip_options__of_its_files(tmp_path: Path) -> None:
    (tmp_path / ".config/pip").mkdir(parents=True)
    (tmp_path / ".config/pip/pip.conf").write_text("[global]\ncert = /a.pem\nindex-url = https://%(x)s/\n")
    own = tmp_path / "own.conf"
    own.write_text("[global]\nproxy = http://p:1\n[install]\ncert = /b.pem\n")
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(own)}
    (tmp_path / ".pip").mkdir()
    (tmp_path / ".pip/pip.conf").write_bytes(b"\xff no configuration")
    found = pip_options(file for file in pip_files(environ) if file.is_relative_to(tmp_path))
    assert (found["cert"], found["proxy"]) == ("/a.pem", "http://p:1")
    assert pip_files({"PIP_CONFIG_FILE": os.devnull}) == ()


def test_with_network_settings__reaches_what_commands_get(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    base = with_network_settings({"REQUESTS_CA_BUNDLE": str(bundle), "PIP_CONFIG_FILE": os.devnull, "SECRET": "x"})
    assert network_variables(base)["SSL_CERT_FILE"] == network_variables(base)["GIT_SSL_CAINFO"] == str(bundle)
    assert "SECRET" not in network_variables(base)
