"""Which parts of the machine a build may read."""

from __future__ import annotations

from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
"""Programs and libraries; some are symbolic links into /usr, not all are there everywhere."""

SETTINGS = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld-musl-x86_64.path",
    "/etc/ld-musl-aarch64.path",
    "/etc/alternatives",  # Debian's /usr/bin/cc goes through it
    "/etc/ssl/certs",  # not /etc/ssl: it has a folder for private keys
    "/etc/ssl/openssl.cnf",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates/extracted",
    "/etc/crypto-policies",
)
"""What programs and TLS need of /etc."""

NAMING = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
)
"""What finding a host needs of /etc."""

ACCOUNTS = ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf")
"""For the tiers that cannot show files of their own instead."""

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
"""Devices without state."""


def there(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `names` that this machine has."""
    return tuple(name for name in names if Path(name).exists())
