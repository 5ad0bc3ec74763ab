"""What `doctor` says of a cache: an index of type mirror whose upstream is an index of another devpi server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from devpi_forkbuilder.commands.doctor.findings import Finding

DEFAULT_PATIENCE = 5
"""Seconds that devpi-server waits for an upstream when it is started without `--request-timeout`."""
DEFAULT_WAIT = 900.0
"""Seconds for which a server with this plugin holds a request when it is started without `--forkbuilder-wait`."""
VARIABLE = "DEVPISERVER_REQUEST_TIMEOUT"
"""devpi-server takes each of its options from the environment too; the command line wins."""


def upstream_of(document: Any) -> str | None:
    """The upstream index that this answer to `GET USER/NAME` names (without user info), or None: it is not a cache."""
    config = document.get("result") if isinstance(document, dict) else None
    if not isinstance(config, dict) or config.get("type") not in {"mirror", "remote"}:
        return None
    url = config.get("mirror_url", config.get("remote_url"))
    if not isinstance(url, str) or "/+simple" not in url:
        return None
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.partition('/+simple')[0]}"


def patience(given: int | None, environ: Mapping[str, str]) -> int:
    """Seconds that the server waits for an upstream: the option, the variable, devpi's default."""
    if given is not None:
        return given
    named = environ.get(VARIABLE, "").strip()
    return int(named) if named.isdecimal() else DEFAULT_PATIENCE


def judge_patience(upstream: str, patience: int, wait: float) -> Finding:
    """Whether the cache outwaits builds at `upstream`, where a request is held for at most `wait` seconds."""
    if patience > wait:
        return Finding.ok("request-timeout", f"this cache waits {patience} s for {upstream}")
    what = (
        f"This cache waits {patience} s for {upstream}; a page that waits for a build there may take {wait:g} s,"
        " and the cache then passes on an error."
    )
    fix = f"Start it with --request-timeout {int(wait) + 60} ('devpi-forkbuilder up --upstream' does)."
    return Finding.warning("request-timeout", what, fix)
