"""Who a build's own requests come from: somebody who may read the index of its pin, and change nothing.

devpi's contract: the hook `devpiserver_get_identity`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from devpi_server.replica import REPLICA_USER_NAME

from devpi_forkbuilder.pipeline.frontend.index_tokens import IndexTokens

ANYBODY, LOGGED_IN = ":ANONYMOUS:", ":AUTHENTICATED:"
READING = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class BuildIdentity:
    """devpi lets this name read every index, and nothing else; what of that a build gets is decided before.

    It is no `ReplicaIdentity`, so the changelog stays closed.
    """

    username: str = REPLICA_USER_NAME
    groups: tuple[str, ...] = ()


def build_identity(
    index_tokens: IndexTokens, request: Any, credentials: tuple[str, str] | None
) -> BuildIdentity | None:
    """Who asks, if it is a build that may read what it asks for. Needs a transaction."""
    index = index_tokens.index_of(*credentials) if credentials is not None else None
    if index is None or request.method not in READING:
        return None
    asked = "/".join(request.path_info.split("/")[1:3])
    stage = request.registry["xom"].model.getstage(index)
    return BuildIdentity() if stage is not None and asked in _readable(stage) else None


def _readable(stage: Any) -> Iterator[str]:
    """The stage, and those of its bases that all who may read it may read as well.

    Anybody can make an index on top of one that he may not read, and what a build gets can be in what it makes.
    """
    readers = _readers(stage)
    return (base.name for base in stage.sro() if base.name == stage.name or _opens_to(readers, _readers(base)))


def _readers(stage: Any) -> frozenset[str]:
    return frozenset(stage.customizer.get_principals_for_pkg_read())


def _opens_to(readers: frozenset[str], base: frozenset[str]) -> bool:
    if ANYBODY in base:
        return True
    return ANYBODY not in readers and (LOGGED_IN in base or readers <= base)
