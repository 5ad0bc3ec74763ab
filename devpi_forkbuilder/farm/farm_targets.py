"""What a farm builds for, from what its workers say of themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from devpi_forkbuilder.domain.compat.targets import ServerTargets
from devpi_forkbuilder.farm.order_document import Announcement


def farm_targets(own: ServerTargets, workers: Iterable[Announcement]) -> ServerTargets:
    """The platform of `own` with its workers' interpreters (its own as long as it has no worker), and the others'."""
    platforms: dict[tuple[str, str, str], ServerTargets] = {}
    for worker in workers:
        one = worker.platform
        key = (one.system, one.machine, one.libc)
        platforms[key] = _with(platforms.get(key, ServerTargets((), one)), worker)
    home = own.platform
    if home is None:
        return own
    mine = platforms.pop((home.system, home.machine, home.libc), None)
    others = tuple(found for _, found in sorted(platforms.items()))
    return replace(_joined(own, mine) if mine is not None else own, others=others)


def _with(found: ServerTargets, worker: Announcement) -> ServerTargets:
    """`found` and one more worker of its platform. What the newest of them makes has to be taken from all."""
    platform = found.platform
    if platform is None or worker.platform.release > platform.release:
        platform = worker.platform
    return ServerTargets(tuple(sorted({*found.pythons, *worker.pythons})), platform)


def _joined(own: ServerTargets, mine: ServerTargets) -> ServerTargets:
    """The interpreters of the workers `mine`, the server's own version first: it is what nothing else is said for."""
    first = [python for python in own.pythons if python in mine.pythons]
    platform = own.platform
    if platform is not None and mine.platform is not None:
        platform = replace(platform, release=max(platform.release, mine.platform.release))
    return ServerTargets(tuple(dict.fromkeys([*first, *mine.pythons])), platform)
