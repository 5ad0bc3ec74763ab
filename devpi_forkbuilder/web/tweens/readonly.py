"""A server through which nothing is changed: `--forkbuilder-read-only`, as for a mirror beside a CI system.

A replica hands every change on to its primary, so whoever reaches the replica could change what the primary has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from pyramid.response import Response

Handler = Callable[[Any], Any]
READING = frozenset({"GET", "HEAD", "OPTIONS"})
ASKING = re.compile(r"/\+login/?|/[^+/]+/[^+/]+/\+forks/[^+/]+/miss")
"""POSTs that change nothing: a login, without which a closed index could not be read, and what a page does anyway."""
MESSAGE = "Nothing is changed through this server: it was started with --forkbuilder-read-only."


def tween_readonly(handler: Handler, registry: Any) -> Handler:
    """The tween; pyramid's contract: called once with the next handler, gives the handler to use."""
    if not getattr(registry["xom"].config.args, "forkbuilder_read_only", False):
        return handler

    def answer(request: Any) -> Any:
        if request.method in READING or ASKING.fullmatch(request.path_info):
            return handler(request)
        # as devpi says it, for devpi-client prints the message
        body = json.dumps({"type": "error", "message": MESSAGE}, indent=2)
        return Response(body, status=403, content_type="application/json", charset="utf-8")

    return answer
