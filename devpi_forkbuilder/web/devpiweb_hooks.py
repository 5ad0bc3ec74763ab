"""Hook implementations for devpi-web, which loads them where it is installed."""

from __future__ import annotations

from typing import Any

from pluggy import HookimplMarker

from devpi_forkbuilder.web.status_bar import status_messages

hookimpl = HookimplMarker("devpiweb")


@hookimpl  # type: ignore[untyped-decorator]  # pluggy's marker is not typed for mypy's strict mode here
def devpiweb_get_status_info(request: Any) -> list[dict[str, str]]:
    """What keeps this server from building, and builds that fail, for the status bar."""
    return status_messages(request)
