from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from devpi_forkbuilder.pipeline.process.environment import (
    EARLIEST,
    build_environment,
    configured,
    git_environment,
    network_variables,
    ssh_command,
)

HOSTILE = {
    "PATH": "/opt/git/bin:/usr/bin",
    "HOME": "/root",
    "SSL_CERT_FILE": "/etc/ca.pem",
    "https_proxy": "http://proxy:3128",
    "NO_PROXY": "",
    "GIT_DIR": "/elsewhere",
    "GIT_SSH_COMMAND": "evil",
    "GIT_CONFIG_COUNT": "1",
    "SSH_AUTH_SOCK": "/tmp/agent",
    "PIP_INDEX_URL": "https://user:canary@index/",
    "UV_INDEX": "https://index/",
    "AWS_SECRET_ACCESS_KEY": "canary",
    "LD_PRELOAD": "/evil.so",
    "PYTHONPATH": "/evil",
}


def test_network_variables__only_certificates_and_proxies() -> None:
    assert network_variables(HOSTILE) == {"SSL_CERT_FILE": "/etc/ca.pem", "https_proxy": "http://proxy:3128"}


@pytest.mark.parametrize("network", [True, False])
def test_git_environment__lets_nothing_else_in(network: bool) -> None:
    env = git_environment(HOSTILE, Path("/work/home"), ("https",), network=network)
    assert env["PATH"] == HOSTILE["PATH"]
    assert env["HOME"] == env["TMPDIR"] == "/work/home"
    assert env["GIT_ALLOW_PROTOCOL"] == "https"
    assert ("https_proxy" in env) is network
    assert not {"GIT_DIR", "SSH_AUTH_SOCK", "PIP_INDEX_URL", "LD_PRELOAD", "PYTHONPATH"} & env.keys()
    assert "canary" not in str(env)
    assert "evil" not in str(env)


def test_git_environment__without_ssh_command_ssh_is_off() -> None:
    assert git_environment({}, Path("/h"), ())["GIT_SSH_COMMAND"] == "/bin/false"


def test_git_environment__configuration_is_complete() -> None:
    env = git_environment({}, Path("/h"), (), config=[("credential.helper", ""), ("credential.helper", "store")])
    assert env["GIT_CONFIG_COUNT"] == "2"
    assert (env["GIT_CONFIG_KEY_1"], env["GIT_CONFIG_VALUE_1"]) == ("credential.helper", "store")


def test_configured__nothing() -> None:
    assert configured([]) == {"GIT_CONFIG_COUNT": "0"}


def test_ssh_command__with_key_and_hosts() -> None:
    words = shlex.split(ssh_command(Path("/etc/a key"), Path("/etc/known hosts")))
    assert words[:3] == ["ssh", "-F", "/dev/null"]
    assert '-oIdentityFile="/etc/a key"' in words
    assert '-oUserKnownHostsFile="/etc/known hosts"' in words
    assert "-oStrictHostKeyChecking=yes" in words
    assert "-oPubkeyAuthentication=no" not in words


def test_ssh_command__without_key_no_key_is_offered() -> None:
    assert "-oPubkeyAuthentication=no" in shlex.split(ssh_command(None, None))


def test_build_environment__depends_on_nothing_of_the_server() -> None:
    arguments = (Path("/w/home"), Path("/w/tmp"), "/w/env/bin:/usr/bin", 1_700_000_000)
    env = build_environment(HOSTILE, *arguments)
    assert env == build_environment({}, *arguments)
    expected = {
        "HOME": "/w/home",
        "TMPDIR": "/w/tmp",
        "PATH": "/w/env/bin:/usr/bin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": "1700000000",
        "PYTHONHASHSEED": "0",
        "PIP_CONFIG_FILE": "/dev/null",
        "UV_NO_CONFIG": "1",
    }
    assert expected.items() <= env.items()


def test_build_environment__network_step_gets_proxies() -> None:
    env = build_environment(HOSTILE, "/h", "/t", "/bin", 0, network=True)
    assert env["https_proxy"] == "http://proxy:3128"
    assert "PIP_INDEX_URL" not in env


@pytest.mark.parametrize(("epoch", "expected"), [(0, EARLIEST), (EARLIEST - 1, EARLIEST), (EARLIEST + 1, EARLIEST + 1)])
def test_build_environment__epoch_is_one_that_zip_can_tell(epoch: int, expected: int) -> None:
    assert build_environment({}, "/h", "/t", "/bin", epoch)["SOURCE_DATE_EPOCH"] == str(expected)


def test_build_environment__recipe_comes_last() -> None:
    env = build_environment({}, "/h", "/t", "/bin", 0, [("SETUPTOOLS_SCM_PRETEND_VERSION", "1"), ("TZ", "CET")])
    assert env["SETUPTOOLS_SCM_PRETEND_VERSION"] == "1"
    assert env["TZ"] == "CET"
