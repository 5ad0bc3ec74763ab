"""The indexes of forks on this server."""

from __future__ import annotations

from typing import Any

from devpi_forkbuilder.devpi.settings import INDEX_TYPE


def fork_indexes(xom: Any) -> list[tuple[str, str]]:
    """User and name of every index of type `forkbuilder`; needs a transaction."""
    users = [(user.name, user.get().get("indexes", {})) for user in xom.model.get_userlist()]
    return sorted((user, name) for user, found in users for name, ix in found.items() if ix.get("type") == INDEX_TYPE)


def fork_index_behind(xom: Any, user: str, index: str) -> str | None:
    """The first index of that type among an index and its bases (`user/name`); needs a transaction."""
    stage = xom.model.getstage(user, index)
    bases = stage.sro() if stage is not None else ()
    return next((str(base.name) for base in bases if base.ixconfig["type"] == INDEX_TYPE), None)


def is_fork_index(xom: Any, user: str, index: str) -> bool:
    """Whether it is there and of that type; needs a transaction."""
    stage = xom.model.getstage(user, index)
    return stage is not None and stage.ixconfig["type"] == INDEX_TYPE
