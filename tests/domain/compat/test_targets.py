"""What real clients say of themselves, and which files they get for it."""

from __future__ import annotations

import json
import platform
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.tags import sys_tags

from devpi_forkbuilder.domain.compat.targets import (
    Client,
    ServerTargets,
    TargetChoice,
    choose_targets,
    client_of_user_agent,
    is_interpreter,
)

PIP = (
    'pip/24.2 {"ci":null,"cpu":"x86_64","distro":{"id":"bookworm","libc":{"lib":"glibc","version":"2.36"},'
    '"name":"Debian GNU/Linux","version":"12"},"implementation":{"name":"CPython","version":"3.13.0"},'
    '"installer":{"name":"pip","version":"24.2"},"openssl_version":"OpenSSL 3.0.19 27 Jan 2026","python":"3.13.0",'
    '"rustc_version":"1.95.0","system":{"name":"Linux","release":"6.18.44"}}'
)
OLD_PIP = (
    'pip/23.0.1 {"ci":null,"cpu":"x86_64","distro":{"id":"bookworm","libc":{"lib":"glibc","version":"2.36"},'
    '"name":"Debian GNU/Linux","version":"12"},"implementation":{"name":"CPython","version":"3.8.18"},'
    '"installer":{"name":"pip","version":"23.0.1"},"python":"3.8.18","setuptools_version":"56.0.0",'
    '"system":{"name":"Linux","release":"6.18.44"}}'
)
UV = (
    'uv/0.13.8 {"installer":{"name":"uv","version":"0.13.8","subcommand":["pip","install"]},"python":"3.12.1",'
    '"implementation":{"name":"CPython","version":"3.12.1"},"distro":{"name":"Debian GNU/Linux","version":"12",'
    '"id":"bookworm","libc":{"lib":"glibc","version":"2.36"}},"system":{"name":"Linux","release":"6.18.44"},'
    '"cpu":"x86_64","openssl_version":null,"setuptools_version":null,"rustc_version":null,"ci":null}'
)
PYPY = (
    'pip/24.0 {"cpu":"aarch64","distro":{"id":"jammy","libc":{"lib":"glibc","version":"2.35"},"name":"Ubuntu",'
    '"version":"22.04"},"implementation":{"name":"PyPy","version":"7.3.15"},"installer":{"name":"pip",'
    '"version":"24.0"},"python":"3.10.13","system":{"name":"Linux","release":"6.5.0"}}'
)
ALPINE = (
    'pip/24.0 {"cpu":"x86_64","distro":{"libc":{"lib":"musl","version":"1.2"},"name":"Alpine Linux","version":"3.19"},'
    '"implementation":{"name":"CPython","version":"3.12.2"},"python":"3.12.2","system":{"name":"Linux","release":"6"}}'
)
MAC = (
    'pip/24.0 {"cpu":"arm64","distro":{"name":"macOS","version":"14.4.1"},"implementation":{"name":"CPython",'
    '"version":"3.12.2"},"installer":{"name":"pip","version":"24.0"},"python":"3.12.2","system":{"name":"Darwin",'
    '"release":"23.4.0"}}'
)
WINDOWS = (
    'pip/24.0 {"cpu":"AMD64","implementation":{"name":"CPython","version":"3.11.8"},"installer":{"name":"pip",'
    '"version":"24.0"},"python":"3.11.8","system":{"name":"Windows","release":"10"}}'
)
HERE = Client("cpython", (3, 11), "linux", "x86_64", "glibc", (2, 36))
SERVER_TARGETS = ServerTargets(("3.11", "3.12", "3.13t", "pypy3.10"), HERE)


def of(text: str) -> Client:
    client = Client.of_user_agent(text)
    assert client is not None
    return client


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PIP, "3.13 linux x86_64 glibc 2.36"),
        (OLD_PIP, "3.8 linux x86_64 glibc 2.36"),
        (UV, "3.12 linux x86_64 glibc 2.36"),
        (PYPY, "pypy3.10 linux aarch64 glibc 2.35"),
        (ALPINE, "3.12 linux x86_64 musl 1.2"),
        (MAC, "3.12 darwin arm64 - 14.4"),
        (WINDOWS, "3.11 windows amd64 - -"),
    ],
)
def test_user_agent__of_real_clients(text, said):
    client = of(text)
    assert str(client) == said
    assert Client.parse(said) == client


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "poetry/2.5.0 CPython/3.11.7 Linux/6.1.0",
        "Mozilla/5.0 (X11; Linux x86_64)",
        'pip/24.0 {"python":',
        "pip/24.0 []",
        'pip/24.0 {"python": 3.12}',
        'pip/24.0 {"python": "three"}',
        'pip/24.0 {"python": "3"}',
        'uv/0.13.8 {"installer":{"name":"uv"},"python":null,"implementation":null}',
        'pip/24.0 {"python":"3.12.1","system":"Linux","implementation":[1]} x',
        "pip/24.0 {" + '"a":{' * 5000,
        'pip/24.0 {"python":"3.12.1"}' + " " * 10_000,
    ],
)
def test_user_agent__that_does_not_say(text):
    assert Client.of_user_agent(text) is None


def test_user_agent__odd_values_are_left_out_and_cost_nothing():
    said = {"python": "3.12.1", "implementation": {"name": "CPython"}, "cpu": "x86 64\n", "system": {"name": "Linux"}}
    client = of("pip/24.0 " + json.dumps({**said, "distro": {"libc": {"lib": "glibc", "version": "2.999999999"}}}))
    assert (client.machine, client.release) == ("", (2, 0)) or client.release[1] <= 999
    assert client.accepts("a-1-py3-none-any.whl")
    assert not client.accepts("a-1-cp312-cp312-linux_x86_64.whl")


@given(st.text(max_size=200))
def test_user_agent__never_raises(text):
    Client.of_user_agent("pip/24.0 {" + text)
    Client.parse(text)


def test_accepts__is_what_packaging_says_of_the_same_machine():
    name, version = platform.libc_ver()
    if name != "glibc" or sys.implementation.name != "cpython":
        pytest.skip("this machine has another libc or interpreter")
    said = {
        "python": platform.python_version(),
        "implementation": {"name": "CPython"},
        "cpu": platform.machine(),
        "system": {"name": "Linux"},
        "distro": {"libc": {"lib": name, "version": version}},
    }
    client = of("pip/24.0 " + json.dumps(said))
    names = [f"a-1-{tag}.whl" for tag in sys_tags()]
    assert [name for name in names if not client.accepts(name)] == []


@pytest.mark.parametrize(
    ("text", "tags", "fits"),
    [
        (PIP, "py3-none-any", True),
        (PIP, "py2.py3-none-any", True),
        (PIP, "py2-none-any", False),
        (PIP, "cp313-cp313-linux_x86_64", True),
        (PIP, "cp313-cp313-linux_aarch64", False),
        (PIP, "cp312-cp312-linux_x86_64", False),
        (PIP, "cp313-cp313t-linux_x86_64", False),
        (PIP, "cp39-abi3-linux_x86_64", True),
        (PIP, "cp314-abi3-linux_x86_64", False),
        (PIP, "py3-none-linux_x86_64", True),
        (PIP, "cp313-cp313-manylinux_2_36_x86_64", True),
        (PIP, "cp313-cp313-manylinux_2_37_x86_64", False),
        (PIP, "cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64", True),
        (PIP, "cp313-cp313-manylinux1_x86_64", True),
        (PIP, "cp313-cp313-musllinux_1_2_x86_64", False),
        (ALPINE, "cp312-cp312-musllinux_1_1_x86_64", True),
        (ALPINE, "cp312-cp312-musllinux_1_3_x86_64", False),
        (ALPINE, "cp312-cp312-manylinux_2_17_x86_64", False),
        (PYPY, "pp310-pypy310_pp73-linux_aarch64", True),
        (PYPY, "pp310-pypy310_pp73-manylinux_2_17_aarch64", True),
        (PYPY, "pp310-pypy310_pp73-manylinux_2_5_aarch64", False),
        (PYPY, "cp310-cp310-linux_aarch64", False),
        (MAC, "cp312-cp312-macosx_11_0_arm64", True),
        (MAC, "cp312-cp312-macosx_10_9_universal2", True),
        (MAC, "cp312-cp312-macosx_15_0_arm64", False),
        (MAC, "cp312-cp312-macosx_11_0_x86_64", False),
        (WINDOWS, "cp311-cp311-win_amd64", True),
        (WINDOWS, "cp311-cp311-win32", False),
    ],
)
def test_accepts__by_tags(text, tags, fits):
    assert of(text).accepts(f"name-1.0-{tags}.whl") is fits


@pytest.mark.parametrize("name", ["name-1.0.tar.gz", "name.whl", "name-1.0-py3.whl", "", "x-1-py3-none-any.whl.asc"])
def test_accepts__only_wheels(name):
    assert not of(PIP).accepts(name)


def test_offer__who_builds_for_whom():
    assert SERVER_TARGETS.python_for(of(UV)) == "3.12"
    assert SERVER_TARGETS.python_for(of(OLD_PIP)) is None  # no Python 3.8 here
    assert SERVER_TARGETS.python_for(of(PYPY)) is None  # another CPU
    assert SERVER_TARGETS.python_for(of(ALPINE)) is None  # another libc
    assert SERVER_TARGETS.python_for(of(MAC)) is None


def test_offer__says_so():
    assert str(SERVER_TARGETS) == "3.11, 3.12, 3.13t, pypy3.10 on linux x86_64 (glibc 2.36)"


def test_offer__its_own_clients():
    assert SERVER_TARGETS.client("") == HERE
    assert SERVER_TARGETS.client("3.13t") == Client("cpython", (3, 13), "linux", "x86_64", "glibc", (2, 36), True)
    assert SERVER_TARGETS.client("pypy3.10").accepts("a-1-pp310-pypy310_pp73-linux_x86_64.whl")
    assert SERVER_TARGETS.client("3.13t").accepts("a-1-cp313-cp313t-linux_x86_64.whl")
    assert SERVER_TARGETS.client("nonsense") is None
    assert ServerTargets().client("3.12") is None


@pytest.mark.parametrize(
    ("client", "only", "built_by", "choice"),
    [
        (None, (), set(), TargetChoice("")),
        (None, ("3.12",), set(), TargetChoice("3.12")),
        (of(UV), (), set(), TargetChoice("3.12")),
        (of(UV), (), {"3.11"}, TargetChoice("3.12")),
        (of(UV), (), {"3.12"}, TargetChoice("3.12", served=False)),  # built for it, and still it does not fit
        (of(UV), ("3.11",), set(), TargetChoice("3.11")),  # it may turn out to be pure
        (of(UV), ("3.11",), {"3.11"}, TargetChoice("3.11", served=False)),
        (of(MAC), (), set(), TargetChoice("")),
        (of(MAC), (), {"3.11"}, TargetChoice("", served=False)),
        (of(OLD_PIP), (), {""}, TargetChoice("", served=False)),
    ],
)
def test_choose__an_interpreter_or_nothing(client, only, built_by, choice):
    assert choose_targets(client, SERVER_TARGETS, only, built_by) == choice


def test_choose__a_server_that_builds_nothing_passes_on_what_it_was_told():
    assert choose_targets(of(UV), ServerTargets(), (), {"3.11"}) == TargetChoice("3.12 linux x86_64 glibc 2.36")


def test_client_of__both_forms():
    assert client_of_user_agent("3.12", SERVER_TARGETS) == SERVER_TARGETS.client("3.12")
    assert client_of_user_agent("3.12 darwin arm64 - 14.4", SERVER_TARGETS) == of(MAC)
    assert client_of_user_agent("", SERVER_TARGETS) is None


@pytest.mark.parametrize("text", ["3.12", "3.13t", "pypy3.10"])
def test_is_interpreter__names(text):
    assert is_interpreter(text)


@pytest.mark.parametrize("text", ["", "3", "3.12.1", "jython3.10", "3.12\n", "cpython3.12", "python3.12", "3.123"])
def test_is_interpreter__other_words(text):
    assert not is_interpreter(text)
