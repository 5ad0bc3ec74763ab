"""`/+forkbuilder/work/{ticket}/…`: the primary's desk for builders on other machines.

Before everything else and without a transaction: files come in over minutes, and nothing of devpi's changes here.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pyramid.response import FileResponse, Response

from devpi_forkbuilder.farm.desk import WorkDesk
from devpi_forkbuilder.farm.parcel import MOST_FILE
from devpi_forkbuilder.farm.tickets import WorkRefusedError
from devpi_forkbuilder.web.context import REGISTRY, Context

Handler = Callable[[Any], Any]
PATH = re.compile(r"/\+forkbuilder/work/(?P<ticket>[^/]{1,400})/(?P<what>[a-z-]+)(?:/(?P<name>[^/]{1,300}))?")
ROOT = "/+forkbuilder/work/"
BLOCK = 2**18
MOST_TEXT = 2**21
"""Bytes that a document, or one part of a log, may have."""


def tween_work(handler: Handler, registry: Any) -> Handler:
    """The tween; pyramid's contract. On a server without a farm there is no such path."""
    context: Context = registry[REGISTRY]
    desk = context.farm

    def answer(request: Any) -> Any:
        if not request.path_info.startswith(ROOT):
            return handler(request)
        if desk is None:
            return _said(404, "This server has no builders on other machines.")
        try:
            return _answered(desk, request)
        except WorkRefusedError as refused:
            return _said(refused.status, refused.message)

    return answer


def _answered(desk: WorkDesk, request: Any) -> Any:
    parts = PATH.fullmatch(request.path_info)
    act = ACTS.get((request.method, parts["what"])) if parts is not None else None
    if parts is None or act is None or (parts["name"] is not None) != (parts["what"] == "files"):
        raise WorkRefusedError(404, "There is nothing like this for a builder.")
    found = act(desk, parts["ticket"], request, parts["name"] or "")
    return found if isinstance(found, Response) else _json(200, {} if found is None else found)


def _source(desk: WorkDesk, ticket: str, request: Any, _name: str) -> Any:
    try:
        return FileResponse(str(desk.source(ticket)), request=request, content_type="application/octet-stream")
    except FileNotFoundError:
        raise WorkRefusedError(409, "The order of this ticket has ended.") from None


def _file(desk: WorkDesk, ticket: str, request: Any, name: str) -> None:
    """Write the body beside the attempt's files, and hand it over when it is complete."""
    folder, length = desk.place_for(ticket, name), request.content_length
    if length is None or not 0 < length <= MOST_FILE:
        raise WorkRefusedError(413, f"A file's length has to be given, and be {MOST_FILE} bytes at most.")
    hasher, left = hashlib.sha256(), length
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".part-", delete=False) as part:
            while left and (block := request.body_file.read(min(BLOCK, left))):
                hasher.update(block)
                part.write(block)
                left -= len(block)
        if left:
            raise WorkRefusedError(422, f"{left} bytes of the file are missing.")
        desk.file(ticket, name, Path(part.name), request.headers.get("X-Sha256", ""), hasher.hexdigest())
    except FileNotFoundError:
        raise WorkRefusedError(409, "The order of this ticket has ended.") from None


def _text(request: Any) -> bytes:
    if (request.content_length or 0) > MOST_TEXT:
        raise WorkRefusedError(413, f"More than {MOST_TEXT} bytes at once.")
    return bytes(request.body_file.read(MOST_TEXT))


def _document(request: Any) -> Any:
    try:
        return json.loads(_text(request))
    except (ValueError, RecursionError):
        raise WorkRefusedError(422, "The body is not a JSON.") from None


def _lines(request: Any, *names: str) -> tuple[tuple[str, ...], ...]:
    document = _document(request)
    found = [document.get(name) if isinstance(document, dict) else None for name in names]
    if not all(isinstance(lines, list) and all(isinstance(line, str) for line in lines) for lines in found):
        raise WorkRefusedError(422, f"Lists of lines are needed: {', '.join(names)}.")
    return tuple(tuple(lines) for lines in found if lines is not None)


def _state(desk: WorkDesk, ticket: str, request: Any, _name: str) -> None:
    document = _document(request)
    desk.state(ticket, str(document.get("state")) if isinstance(document, dict) else "")


Act = Callable[[WorkDesk, str, Any, str], Any]
ACTS: Mapping[tuple[str, str], Act] = {
    ("POST", "take"): lambda desk, ticket, request, _name: desk.take(ticket, _document(request)),
    ("GET", "order"): lambda desk, ticket, _request, _name: desk.order(ticket),
    ("GET", "source"): _source,
    ("PUT", "log"): lambda desk, ticket, request, _name: desk.log(ticket, _text(request)),
    ("POST", "state"): _state,
    ("POST", "needs"): lambda desk, ticket, request, _name: desk.needs(ticket, *_lines(request, "requirements")),
    ("POST", "health"): lambda desk, ticket, request, _name: desk.health(
        ticket, *_lines(request, "requirements", "constraints")
    ),
    ("PUT", "files"): _file,
    ("POST", "done"): lambda desk, ticket, request, _name: desk.done(ticket, _document(request)),
    ("POST", "failed"): lambda desk, ticket, request, _name: desk.failed(ticket, _document(request)),
    ("POST", "handed-back"): lambda desk, ticket, _request, _name: desk.handed_back(ticket),
}


def _json(status: int, document: Mapping[str, Any]) -> Any:
    response = Response(json.dumps(document), status=status, content_type="application/json", charset="utf-8")
    response.cache_control = "no-store"
    return response


def _said(status: int, message: str) -> Any:
    return _json(status, {"type": "error", "message": message})
