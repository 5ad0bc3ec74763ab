"""How a package is installed on a distribution (pure)."""

from __future__ import annotations

from collections.abc import Mapping

COMMANDS = {
    "debian": "apt-get install",
    "ubuntu": "apt-get install",
    "fedora": "dnf install",
    "rhel": "dnf install",
    "centos": "dnf install",
    "suse": "zypper install",
    "opensuse": "zypper install",
    "arch": "pacman -S",
    "alpine": "apk add",
}


def install_command(os_release: Mapping[str, str], package: str) -> str:
    """Return the command that installs `package`, which has the same name everywhere.

    `os_release` is the content of os-release(5); a distribution that is not known is taken for what it says it is like.
    """
    names = [os_release.get("ID", ""), *os_release.get("ID_LIKE", "").split()]
    found = next((COMMANDS[name] for name in names if name in COMMANDS), None)
    return f"{found} {package}" if found else f"install the package {package}"
