"""What a state means for who reads the page, in one sentence; and moments and sizes as people read them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

WORDS = {
    "wanted": "Not built yet. The first installer that asks for it starts the build.",
    "fetching": "The commit is being fetched from its repository.",
    "building": "The fork's own build is running.",
    "checking": "The build has ended; its files are being checked.",
    "publishing": "The files are being published.",
    "built": "Published. Installers get it at once.",
}
FAILURES = {
    "source": "The commit could not be fetched.",
    "build": "The fork's own build failed.",
    "mismatch": "The pin and the fork do not agree.",
    "limits": "The build went past a limit of this server.",
    "refused": "A rule of this server refused it.",
    "infrastructure": "This server could not build it.",
}
UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))
SIZES = ("bytes", "KiB", "MiB", "GiB", "TiB")


def sentence(state: Mapping[str, Any], now: float) -> str:
    """What the state (an object of the API) means, and what comes next; `now` in seconds since the epoch."""
    word = state["state"]
    if word == "failed":
        return _failed(state, now)
    if word == "queued":
        place = state["queue_position"]
        where = "Next in the queue." if place == 1 else f"Number {place} in the queue." if place else "In the queue."
        return f"{where}{_until(state)}"
    return f"{WORDS[word]}{_until(state)}"


def _until(state: Mapping[str, Any]) -> str:
    seconds = state["estimate"]
    if seconds is None:
        return ""
    return f" About {about(seconds)} to go." if seconds >= 1 else " It takes longer than usual."


def _failed(state: Mapping[str, Any], now: float) -> str:
    kind, again = (state["error"] or {}).get("kind", "infrastructure"), state["retry_at"]
    if again is None:
        return f"{FAILURES[kind]} It is not tried again until the pin or its settings change, or by hand."
    wait = again - now
    return f"{FAILURES[kind]} The next request tries it again{f' in {about(wait)}' if wait > 0 else ''}."


def duration(seconds: float) -> str:
    """`seconds` as people say it: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def about(seconds: float) -> str:
    """`seconds`, which nobody knows exactly, as people say it: `7 s`, `3 min`, `2 h 5 min`."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 100 else duration(round(whole / 60) * 60)


def ago(seconds: float) -> str:
    """How long ago that was: `just now`, `5 minutes ago`."""
    for name, length in UNITS:
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "just now"


def readable_size(n_bytes: float | None) -> str:
    """`n_bytes` as people read it; empty when it is not known."""
    if n_bytes is None:
        return ""
    value, unit = float(n_bytes), 0
    while value >= 1024 and unit < len(SIZES) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {SIZES[unit]}" if unit == 0 or value >= 100 else f"{value:.1f} {SIZES[unit]}"


def iso_moment(seconds: float | None) -> str:
    """The moment in UTC, as `<time datetime>` has it; empty when it is not known."""
    return "" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
