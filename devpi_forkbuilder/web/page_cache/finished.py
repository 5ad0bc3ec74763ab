"""What is known of a page that devpi's view has just made, noted with the response on its way out.

The note says from what the page was made. Whoever changes the page on the way takes the note off, or adds what the
change rests on. A page that comes to the outermost of our tweens with a note may be kept; no other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from devpi_forkbuilder.devpi.mirror_expiry import mirror_conditions
from devpi_forkbuilder.devpi.outlines import has_only_known_types
from devpi_forkbuilder.devpi.requests import by_installer, client_of, everybody_reads, wants_json
from devpi_forkbuilder.devpi.store_facts import Facts, Reading
from devpi_forkbuilder.web.context import REGISTRY, Context
from devpi_forkbuilder.web.paths import PageRequest, page_request

NOTE = "forkbuilder_finished"


@dataclass(frozen=True, slots=True)
class FinishedPage:
    """A page that anybody may be given while `facts` hold; `for_everybody`: whatever the client runs; `pinned`: it is
    that of a pinned project.
    """

    facts: Facts
    for_everybody: bool
    pinned: bool = False


def finished(response: Any) -> FinishedPage | None:
    """Return the note of a response."""
    found = getattr(response, NOTE, None)
    return found if isinstance(found, FinishedPage) else None


def rest_on(response: Any, facts: Facts | None) -> None:
    """Add to the note of a response what it rests on besides; None: nobody can tell, so the note goes."""
    note = finished(response)
    if note is not None:
        setattr(response, NOTE, None if facts is None else replace(note, facts=note.facts.and_also(facts)))


def forbids_storing(response: Any) -> bool:
    """Return whether a response says `no-store`."""
    return "no-store" in response.headers.get("Cache-Control", "")


def tween_note(handler: Any, registry: Any) -> Any:
    """Pyramid's contract; the innermost tween, inside devpi's transaction, so that it sees what the view reads."""
    context: Context = registry[REGISTRY]

    def answer(request: Any) -> Any:
        asked = page_request(request.path_info, by_installer(request)) if request.method == "GET" else None
        if asked is None:
            return handler(request)
        reading = Reading(context.keyfs)
        response = handler(request)
        if response.status_int == 200:
            _may_be_stored(response)
            if by_installer(request) or wants_json(request):
                _note(context, request, asked, reading, response)
        return response

    return answer


def _may_be_stored(response: Any) -> None:
    """Have clients keep the page and ask each time whether it is still good.

    devpi says nothing, or forbids to store pages of mirrors that it has not just asked: it has no validators.
    """
    response.headers["Cache-Control"] = "no-cache"
    for name in ("Expires", "Last-Modified", "Pragma"):
        response.headers.pop(name, None)


def _note(context: Context, request: Any, asked: PageRequest, reading: Reading, response: Any) -> None:
    xom = request.registry["xom"]
    stage = xom.model.getstage(asked.user, asked.index)
    if stage is None or not has_only_known_types(xom, stage):
        return
    conditions = mirror_conditions(stage, asked.name)
    pinned = context.lookup.of_page(asked.user, asked.index, asked.name, client_of(request))
    owners = {(asked.user, asked.index), *(tuple(one.order.index.split("/")) for one in pinned)}
    if conditions is None or not all(everybody_reads(request, *owner) for owner in owners):
        return
    facts = reading.facts()
    if facts is not None:
        everybody = all(one.for_everybody for one in pinned)
        setattr(response, NOTE, FinishedPage(facts.if_only(*conditions), everybody, bool(pinned)))
