"""The state of a pin as a small picture, for a project's README or a wall."""

from __future__ import annotations

from html import escape
from typing import Any

from pyramid.response import Response

from devpi_forkbuilder.devpi.lookup import Pinned
from devpi_forkbuilder.devpi.requests import READ
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.web.api.states import record_for, state_of
from devpi_forkbuilder.web.api.views import ApiError, ForksView

COLOURS = {State.BUILT: "#2c6e1f", State.FAILED: "#b3261e", State.WANTED: "#5c5c5c"}
UNDER_WAY = "#1f5f99"
WORST = (State.FAILED, State.PUBLISHING, State.CHECKING, State.BUILDING, State.FETCHING, State.QUEUED, State.WANTED)
"""Of several pins of a project the first of these states counts; `built` when there is none."""
LETTER = 6.6
"""Width of a letter in pixels, at 11 pixels of height; browsers fit the text to it."""
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{label}: {state}">
<title>{label}: {state}</title>
<rect width="{left}" height="20" fill="#3c3c3c"/><rect x="{left}" width="{right}" height="20" fill="{colour}"/>
<g fill="#ffffff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="6" y="14" textLength="{left_text}">{label}</text>
<text x="{right_at}" y="14" textLength="{right_text}">{state}</text>
</g>
</svg>
"""


class BadgeView(ForksView):
    """Badges, for whoever may read the index."""

    def badge(self) -> Any:
        """The badge of a project's pins, or of the one with the commit in the path."""
        commit = self.request.matchdict.get("commit")
        pinned = [one for one in self._pinned(READ) if commit in {None, one.pin.commit}]
        if not pinned:
            project = self.request.matchdict["project"]
            raise ApiError(404, f"The index does not pin {project} at {str(commit)[:7]}.")
        states = {self._state(one) for one in pinned}
        state = next((one for one in WORST if one in states), State.BUILT)
        return self._picture(_label(pinned), state)

    def _state(self, one: Pinned) -> State:
        return state_of(one, record_for(one, self.context.builds.records_of(self._index(), one.pin.name)))

    def _picture(self, label: str, state: State) -> Any:
        response = Response(svg(label, state), content_type="image/svg+xml", charset="utf-8")
        # asked for each time, also by the caches of code hosts, and answered with 304 while nothing has changed
        response.cache_control = "no-cache"
        response.md5_etag()
        response.conditional_response = True
        response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def _label(pinned: list[Pinned]) -> str:
    pin = pinned[0].pin
    return " ".join(filter(None, (pin.project, pin.version))) if len(pinned) == 1 else pin.project


def svg(label: str, state: State) -> str:
    """The picture; `label` may hold anything."""
    left_text, right_text = (round(len(text) * LETTER, 1) for text in (label, state.value))
    left, right = left_text + 12, right_text + 12
    return SVG.format(
        label=escape(label),
        state=state.value,
        colour=COLOURS.get(state, UNDER_WAY),
        width=round(left + right, 1),
        left=left,
        right=right,
        left_text=left_text,
        right_text=right_text,
        right_at=left + 6,
    )
