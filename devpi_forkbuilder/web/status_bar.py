"""What devpi-web's status bar says of builds: the hook `devpiweb_get_status_info`.

Everybody sees it, so it names no project.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devpi_forkbuilder.pipeline.process.disk_space import FLOOR
from devpi_forkbuilder.web.context import REGISTRY, Context

FATAL, WARN = "fatal", "warn"


def status_messages(request: Any) -> list[dict[str, str]]:
    """The messages, as devpi-web's hook wants them; none where the plugin does not serve."""
    context: Context | None = request.registry.get(REGISTRY)
    if context is None:
        return []
    fatal = [{"status": FATAL, "msg": f"Forks: {reason}"} for reason in context.health().reasons]
    return [*fatal, *({"status": WARN, "msg": f"Forks: {warning}"} for warning in _warnings(context))]


def _warnings(context: Context) -> Iterator[str]:
    if context.forward is not None:
        if _is_unreachable(context):
            yield f"The primary at {context.forward.url} does not answer: what is not built yet is not built now."
        return
    failing = context.builds.figures().failing
    if failing:
        yield f"{failing} build{'s' if failing > 1 else ''} failed within a day."
    if context.tier == "none":
        yield "Builds are not confined (--forkbuilder-sandbox none): they can do what the server can."
    free = context.facts().disks.get("forkbuilder", (FLOOR, 0))[0]
    if free < FLOOR and not context.cached_only:
        yield f"{free >> 20} MiB are free on the disk for builds: none starts with less than {FLOOR >> 20} MiB."


def _is_unreachable(context: Context) -> bool:
    silent = context.breaker is not None and context.breaker.open
    return silent or (context.guard is not None and context.guard.verdict.kind == "unreachable")
