"""The environments that commands get: lists of what is allowed in, never the server's own with parts taken out."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin"
EARLIEST = 315532800
"""1980-01-01T00:00:00Z: ZIP archives know no earlier time, so `SOURCE_DATE_EPOCH` is never below it."""
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "REQUESTS_CA_BUNDLE")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy")
COMMON = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
QUIET_GIT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
    "SSH_ASKPASS": "/bin/false",
    "GIT_LFS_SKIP_SMUDGE": "1",
    "GIT_NO_LAZY_FETCH": "1",
}
QUIET_TOOLS = {
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
    "PIP_CONFIG_FILE": "/dev/null",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "UV_NO_CONFIG": "1",
    "UV_NO_PROGRESS": "1",
    "UV_PYTHON_DOWNLOADS": "never",
    "NO_COLOR": "1",
}


def search_path(base: Mapping[str, str]) -> str:
    """The server's `PATH` (`absolute_folders` of it), or the usual one."""
    return absolute_folders(base.get("PATH", "")) or SEARCH_PATH


def absolute_folders(path: str) -> str:
    """Return `path` (as in PATH) without its empty and relative entries.

    They stand for another folder wherever a program runs, also for one that holds a fork's own files.
    """
    return os.pathsep.join(folder for folder in path.split(os.pathsep) if Path(folder).is_absolute())


def network_variables(base: Mapping[str, str]) -> dict[str, str]:
    """What a command that uses the network needs of `base`: certificate authorities and proxies."""
    return {name: base[name] for name in (*CERTIFICATES, *PROXIES) if base.get(name)}


def without_logins(base: Mapping[str, str]) -> dict[str, str]:
    """`base` without proxies whose URLs have user info: a stranger's code must not see those."""
    return {name: value for name, value in base.items() if name not in PROXIES or "@" not in value}


def configured(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Git configuration as environment (git-config(1), `GIT_CONFIG_COUNT`), which no process list shows."""
    settings = list(pairs)
    variables = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return variables


def git_environment(
    base: Mapping[str, str],
    home: Path,
    protocols: Iterable[str],
    *,
    network: bool = False,
    config: Iterable[tuple[str, str]] = (),
    ssh_command: str = "",
) -> dict[str, str]:
    """The environment for git; `protocols` are the only transports it may use (git(1), `GIT_ALLOW_PROTOCOL`).

    `home` is an empty folder of ours. `network` lets certificates and proxies of `base` through.
    """
    variables = {**COMMON, **QUIET_GIT, "PATH": search_path(base), "HOME": str(home), "TMPDIR": str(home)}
    variables["GIT_ALLOW_PROTOCOL"] = ":".join(protocols)
    # Without a command of ours git would start ssh with the settings of whoever runs the server.
    variables["GIT_SSH_COMMAND"] = ssh_command or "/bin/false"
    variables["GIT_SSH_VARIANT"] = "ssh"
    if network:
        variables |= network_variables(base)
    return variables | configured(config)


def ssh_command(key: Path | None, known_hosts: Path | None, more: Iterable[str] = ()) -> str:
    """`GIT_SSH_COMMAND`: no configuration file, no agent, no prompt, no forwarding; unknown hosts are refused.

    Without `key` no public key of the server's user is offered: what a pin may read is said by options only. `more`
    are further options, `NAME=VALUE`.
    """
    options = [
        *more,
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "ForwardAgent=no",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "UpdateHostKeys=no",
        "PreferredAuthentications=publickey",
        "ConnectTimeout=10",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
    ]
    if known_hosts is not None:
        options += [f'UserKnownHostsFile="{known_hosts}"', "GlobalKnownHostsFile=/dev/null"]
    options.append(f'IdentityFile="{key}"' if key is not None else "PubkeyAuthentication=no")
    return shlex.join(["ssh", "-F", "/dev/null", *(f"-o{option}" for option in options)])


def build_environment(
    base: Mapping[str, str],
    home: Path | str,
    tmp: Path | str,
    path: str,
    epoch: int,
    extra: Iterable[tuple[str, str]] = (),
    *,
    network: bool = False,
) -> dict[str, str]:
    """The environment for a build's step; `epoch` is the commit's time in seconds, `extra` the recipe's own pairs.

    The result depends on `base` only with `network` (the step that fetches build requirements). `home` and `tmp`
    are named as the step sees them. Git is configured so that back ends which ask it for a version can read the
    checkout whoever owns it (git-config(1), `safe.directory`).
    """
    variables = {**COMMON, **QUIET_GIT, **QUIET_TOOLS, "PATH": path, "HOME": str(home), "TMPDIR": str(tmp)}
    variables["SOURCE_DATE_EPOCH"] = str(max(epoch, EARLIEST))
    variables["GIT_ALLOW_PROTOCOL"] = "none"
    variables |= configured([("safe.directory", "*"), ("core.fsmonitor", "false"), ("core.hooksPath", "/dev/null")])
    if network:
        variables |= network_variables(base)
    return variables | dict(extra)
