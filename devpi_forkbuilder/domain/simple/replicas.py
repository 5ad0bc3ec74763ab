"""What only a replica has to say about a pin without a file: why its primary was of no help."""

from __future__ import annotations

import re

from devpi_forkbuilder.domain.pins.pins import Pin

UNREACHABLE = "primary-unreachable"
REFUSED = "primary-refuses"
AHEAD = "primary-ahead"
REASONS = {
    UNREACHABLE: "the primary at {} cannot be reached",
    REFUSED: "the primary at {} does not build it",
    AHEAD: "the primary at {} has it, but it has not arrived at this replica: ask again",
}
"""The stage in a placeholder's path, and what is said of the primary's URL."""


def replica_phrase(pin: Pin, stage: str, primary_url: str) -> str:
    """The reason phrase of the placeholder's download, in one line of ASCII; `stage` is a key of `REASONS`."""
    version = f" {pin.version}" if pin.version is not None else ""
    text = f"{pin.project}{version} from {pin.commit7} is not here, and {REASONS[stage].format(primary_url)}"
    return re.sub(r"[^\x20-\x7e]+", " ", text)[:500]
