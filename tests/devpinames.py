"""Tests say what they want in the words of devpi-server 6; here they become those of the version that is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from devpi_forkbuilder.devpi.names import MIRROR, PRIVATE, SEVEN, mirror_setting

TYPES = {"mirror": MIRROR, "stage": PRIVATE}
SETTINGS = {
    f"mirror_{name}": mirror_setting(name) for name in ("url", "no_project_list", "use_external_urls", "cache_expiry")
}
NOT_OF_REMOTES = frozenset({"bases", "mirror_provides_core_metadata"})
GONE = frozenset({"--enable-core-metadata"})
SIX_ONLY = pytest.mark.skipif(SEVEN, reason="holds for devpi-server 6 alone (docs/explanation/decisions)")
CLOCK = "devpi_server.model.remote.time.time" if SEVEN else "devpi_server.mirror.time.time"
"""Where devpi looks how old the page of a mirror is."""


def options_of_devpi(options: Sequence[str]) -> tuple[str, ...]:
    """Command-line options, without those that devpi-server 7 no longer has."""
    return tuple(option for option in options if not (SEVEN and option in GONE))


def settings_of_devpi(content: Any) -> Any:
    """What is sent to change an index: a mapping (PUT), or lines `key=value` (PATCH)."""
    if isinstance(content, dict):
        changed = {SETTINGS.get(key, key): value for key, value in content.items()}
        if isinstance(changed.get("type"), str):
            changed["type"] = TYPES.get(changed["type"], changed["type"])
        if SEVEN and changed.get("type") == MIRROR:
            changed = {key: value for key, value in changed.items() if key not in NOT_OF_REMOTES}
        whitelist = changed.pop("mirror_whitelist", None) if SEVEN else None
        return {**changed, "project_inheritance_rules": ["allow all"]} if whitelist else changed
    if isinstance(content, list):
        return [_line(line) for line in content]
    return content


def _line(line: Any) -> Any:
    if not isinstance(line, str):
        return line
    key, equals, value = line.partition("=")
    if SEVEN and key.rstrip("+") == "mirror_whitelist":
        return "project_inheritance_rules=allow all"
    return f"{SETTINGS.get(key, key)}{equals}{value}"
