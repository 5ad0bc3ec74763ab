"""Reading ahead: who asks for one pin of an index mostly asks for the next ones right after it, as pip does one by one.

Workers that would be idle build those meanwhile. Nothing is built ahead of a client whose own pin needs no work: a
failure that is remembered, however often it is asked for, starts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from devpi_forkbuilder.web.context import Context
from devpi_forkbuilder.web.miss.outcome import Miss


def read_ahead(context: Context, misses: Iterable[Miss]) -> None:
    """Hand the pins after the first of `misses` that is being built to workers that would be idle.

    Needs a transaction. The work is of the same index and for the same client, so whoever may cause the one may cause
    the other.
    """
    begun = next((miss for miss in misses if not miss.flight.done), None)
    if begun is not None:
        for order in context.lookup.following(begun.pinned):
            if not context.builds.room_ahead:
                break
            context.builds.ask(order, ahead=True)
