"""What `up` starts beside a server of its own: a replica of another server, or a local cache of a team's index."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from devpi_forkbuilder.errors import RefusedError

CACHE_WAIT = 960
"""Seconds that a cache waits for a page: the 900 for which a request is held upstream, and a minute."""
SKIP = "--file-replication-skip-indexes"
"""A replica fetches files of public projects when somebody asks for them: the primary has looked up thousands."""
CACHE_EXPIRY = 30
"""Seconds for which a cache gives a page without asking: a new pin is seen soon, and a failure not kept for long."""


@dataclass(frozen=True, slots=True)
class Role:
    """How a server of this role is made and started, as options of devpi-init and devpi-server."""

    init: tuple[str, ...] = ()
    serve: tuple[str, ...] = ()


def add_options(parser: Any) -> None:
    """Add the options that choose a role."""
    roles = parser.add_mutually_exclusive_group()
    roles.add_argument("--replica-of", metavar="URL", help="be a replica of the devpi server at URL")
    roles.add_argument("--upstream", metavar="URL", help="be a local cache of the index at URL: http://HOST/USER/NAME")
    parser.add_argument("--secretfile", metavar="FILE", help="the server's secret; a replica needs its primary's")


def role_of(arguments: argparse.Namespace, more: Sequence[str], was_replica: bool) -> Role:
    """The role that the arguments ask for. Raises RefusedError for what does not go together.

    `was_replica`: the server directory is a replica's. That becomes a primary only when it is said in so many words.
    """
    given = {word.partition("=")[0] for word in more}
    if arguments.replica_of:
        return _replica(arguments, given)
    if arguments.upstream:
        return _cache(arguments, given)
    if "--role" in given:
        return Role()
    if was_replica:
        raise RefusedError(
            "was-replica",
            f"{arguments.serverdir} is the directory of a replica.",
            next_step="Name its primary with --replica-of URL, or make it the primary with --role primary"
            " once the old one is gone for good.",
        )
    return Role(serve=("--role", "primary"))  # so that replicas may follow; devpi lets nobody else read its changes


def upstream_url(text: str) -> str:
    """The simple page of the upstream index, from its URL with or without `+simple`. Raises RefusedError."""
    parts = urlsplit(text)
    _plain_url(text, "--upstream")
    names = [part for part in parts.path.split("/") if part]
    if names and names[-1] == "+simple":
        names.pop()
    if len(names) < 2:
        raise RefusedError(
            "upstream-url", f"{text!r} is not the URL of an index.", next_step="Write http://HOST/USER/NAME."
        )
    return parts._replace(path="/" + "/".join([*names, "+simple"]) + "/", query="", fragment="").geturl()


def _replica(arguments: argparse.Namespace, given: Collection[str]) -> Role:
    _plain_url(arguments.replica_of, "--replica-of")
    if arguments.requirement:
        raise RefusedError(
            "pins-on-replica",
            "A replica has the pins of its primary, so -r has no use here.",
            next_step="Pin on the primary, or through this replica with: devpi forks pin -r FILE",
        )
    if not arguments.secretfile or not Path(arguments.secretfile).expanduser().is_file():
        raise RefusedError(
            "secret-missing",
            "A replica shows its primary that it is one by a secret that both have.",
            next_step="Copy the primary's secret file and name it with --secretfile FILE. A primary that was started by"
            " devpi-forkbuilder up has it in SERVERDIR/.forkbuilder/passwords/+server-secret.",
        )
    role = ("--role", "replica", "--primary-url", arguments.replica_of.rstrip("/"))
    from devpi_forkbuilder.devpi.names import MIRROR  # noqa: PLC0415  (the extra `server` may not be installed)

    return Role(init=role, serve=role if SKIP in given else (*role, SKIP, MIRROR))


def _cache(arguments: argparse.Namespace, given: Collection[str]) -> Role:
    upstream_url(arguments.upstream)
    if arguments.requirement:
        raise RefusedError(
            "pins-on-cache",
            "A cache builds nothing, so -r has no use here.",
            next_step="Pin on the server that builds: devpi forks pin -r FILE",
        )
    return Role(
        init=("--no-root-pypi",), serve=() if "--request-timeout" in given else ("--request-timeout", str(CACHE_WAIT))
    )


def _plain_url(text: str, option: str) -> None:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise RefusedError("role-url", f"{option} takes a URL such as http://devpi.example.com:3141, not {text!r}.")
    if parts.username or parts.password:
        raise RefusedError(
            "role-url-credentials",
            f"The URL of {option} has credentials in it; index settings and command lines can be read by others.",
            next_step="Leave them out.",
        )
