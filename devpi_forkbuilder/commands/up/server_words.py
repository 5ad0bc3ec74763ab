"""devpi-server's command line as `up` writes it: ours, defaults nobody gives otherwise, what was handed on."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

THREADS = 256
CONNECTIONS = 512
"""Each held request has one, and idle ones come on top; select(2), which waitress uses, ends at 1024."""
KEY_DERIVATION = {"--argon2-memory-cost": "8", "--argon2-parallelism": "1", "--argon2-time-cost": "1"}
"""devpi stretches the server's secret at every start, which takes seconds and 512 MiB. The secret made here is 256
random bits, which need no stretching. (Passwords of users are hashed with other, costly parameters.)"""


def defaults(logging: Path, secret: Path) -> dict[str, str | None]:
    """Options of devpi-server that `up` gives unless somebody else does, with their values (None: a switch)."""
    return {
        "--threads": str(THREADS),
        "--connection-limit": str(CONNECTIONS),
        "--enable-core-metadata": None,
        "--logger-cfg": str(logging),
        "--secretfile": str(secret),
        **KEY_DERIVATION,
    }


def server_words(
    arguments: argparse.Namespace,
    server_path: Path,
    defaults: Mapping[str, str | None],
    more: Sequence[str],
    urls: Sequence[str] = (),
) -> list[str]:
    """devpi-server's command line; `urls` are those of checkouts, which are allowed in any case."""
    given = {word.partition("=")[0] for word in more} | _given_to_devpi(os.environ)
    listed = ["--serverdir", str(server_path), "--host", arguments.host, "--port", str(arguments.port)]
    for name in dict.fromkeys(("root", arguments.index.partition("/")[0])):
        listed += ["--forkbuilder-allow-user", name]
    for url in urls:
        listed += ["--forkbuilder-also-allow-url", url]
    if arguments.outside_url:
        listed += ["--outside-url", arguments.outside_url]
    for option, value in defaults.items():
        if option not in given:
            listed += [option] if value is None else [option, value]
    return [*listed, *more]


def _given_to_devpi(environ: Mapping[str, str]) -> set[str]:
    """Options that devpi takes from the environment itself: `DEVPISERVER_THREADS` is `--threads`."""
    begin = "DEVPISERVER_"
    names = (name.removeprefix(begin) for name, value in environ.items() if name.startswith(begin) and value)
    return {"--" + name.lower().replace("_", "-") for name in names}
