"""Core metadata (PEP 658) of wheels that are not here: `FILE.metadata` where devpi has no answer, or a wrong one.

Of a mirror's wheel devpi 6 gives it only with an option and where upstream has the file; of a wheel whose bytes have
not reached a replica yet it gives the wheel itself (seen with 6.20.3), and uv ends with "invalid metadata". That is
common behind a load balancer: the page came from a replica that has the file, the request for metadata goes to another.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

from pyramid.httpexceptions import HTTPBadGateway, HTTPServiceUnavailable
from pyramid.response import Response

from devpi_forkbuilder.devpi.requests import may_read
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.web.context import REGISTRY, Context
from devpi_forkbuilder.web.paths import INDEX
from devpi_forkbuilder.web.waiting.chain import Turns

log = logging.getLogger(__name__)

Handler = Callable[[Any], Any]
METADATA = re.compile(INDEX + r"/\+[ef]/(?P<file>.+)\.metadata")
RETRY_AFTER = 5
FOREVER = "max-age=365000000, immutable, public"
"""devpi's own word for files, whose bytes never change under a URL."""
TURNS = Turns()


def tween_metadata(handler: Handler, registry: Any) -> Handler:
    """The tween; pyramid's contract."""
    context: Context = registry[REGISTRY]

    def answer(request: Any) -> Any:
        asked = METADATA.fullmatch(request.path_info) if request.method in {"GET", "HEAD"} else None
        if asked is None:
            return handler(request)
        path = request.path_info.strip("/").removesuffix(".metadata")
        try:
            return _answer(context, handler, request, (asked["user"], asked["index"]), path)
        except InfrastructureError as error:
            response = HTTPServiceUnavailable(f"{error.what} Ask again.")
            response.retry_after = RETRY_AFTER
            return response

    return answer


def _answer(context: Context, handler: Handler, request: Any, index: tuple[str, str], path: str) -> Any:
    readable, wheel = _find(context, request, index, path)
    if readable and wheel is None and context.fetch is not None:
        context.fetch(path)
    if wheel is not None:
        return _of_remote(context, handler, request, wheel, path)
    response = handler(request)
    if readable and response.status_int == 404:
        # devpi has read the project's page for this request, which it did not know before
        _, wheel = _find(context, request, index, path)
    return response if wheel is None else _of_remote(context, handler, request, wheel, path)


def _find(context: Context, request: Any, index: tuple[str, str], path: str) -> tuple[bool, Any]:
    with context.keyfs.read_transaction():
        readable = may_read(request, *index)
        return readable, context.metadata.find(path) if readable else None


def _of_remote(context: Context, handler: Handler, request: Any, wheel: Any, path: str) -> Any:
    with TURNS.of((path, "", "")):
        try:
            content = context.metadata.get(wheel)
        except InfrastructureError as error:
            return HTTPBadGateway(error.what)
        if content is None:
            _fetch_wheel(request, path)
    if content is None:
        return handler(request)
    response = Response(content, content_type="application/octet-stream")
    response.headers["Cache-Control"] = FOREVER
    return response


def _fetch_wheel(request: Any, path: str) -> None:
    """Have devpi fetch and keep the whole wheel, as it does when the wheel itself is asked for."""
    whole = request.copy_get()
    whole.path_info = f"/{path}"
    whole.range = None
    response = request.invoke_subrequest(whole, use_tweens=True)
    try:
        for _ in response.app_iter:
            pass
    except Exception as error:  # noqa: BLE001 - devpi raises what its client, the disk or its check of the hash raised
        log.warning("%s could not be fetched for its metadata: %s", path, error)
    finally:
        close = getattr(response.app_iter, "close", None)
        if close is not None:
            close()
