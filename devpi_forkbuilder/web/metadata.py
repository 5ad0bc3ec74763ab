"""On a replica: the metadata (PEP 658) of a file whose bytes have not arrived yet.

devpi fetches the file from its primary then, and gives the file itself in place of its metadata (seen with 6.20.3); uv
ends with "invalid metadata". Behind a load balancer that happens easily: the page came from a replica that has the
file, and the metadata is asked for at another one. So the file is brought here first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pyramid.httpexceptions import HTTPServiceUnavailable

from devpi_forkbuilder.devpi.requests import may_read
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.web.context import REGISTRY, Context
from devpi_forkbuilder.web.paths import INDEX

Handler = Callable[[Any], Any]
METADATA = re.compile(INDEX + r"/\+f/.+\.metadata")
RETRY_AFTER = 5


def tween_metadata(handler: Handler, registry: Any) -> Handler:
    """The tween; pyramid's contract. On a server that has all bytes anyway it is not there."""
    context: Context = registry[REGISTRY]
    fetch = context.fetch
    if fetch is None:
        return handler

    def answer(request: Any) -> Any:
        asked = METADATA.fullmatch(request.path_info)
        if asked is not None and _readable(context, request, asked["user"], asked["index"]):
            try:
                fetch(request.path_info.strip("/").removesuffix(".metadata"))
            except InfrastructureError as error:
                response = HTTPServiceUnavailable(f"{error.what} Ask again.")
                response.retry_after = RETRY_AFTER
                return response
        return handler(request)

    return answer


def _readable(context: Context, request: Any, user: str, index: str) -> bool:
    with context.keyfs.read_transaction():
        return may_read(request, user, index)
