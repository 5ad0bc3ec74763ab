"""`Range` (RFC 9110, section 14) for files that are here; devpi sends them whole.

A file that devpi has to fetch first is sent whole as well, which a server may always do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from pyramid.response import FileIter, Response

from devpi_forkbuilder.web.paths import INDEX

Handler = Callable[[Any], Any]
FILE = re.compile(INDEX + r"/\+[ef]/.+")
BLOCK = 64 * 1024


def tween_ranges(handler: Handler, registry: Any) -> Handler:  # noqa: ARG001  (pyramid's contract)
    """The tween; pyramid's contract."""

    def answer(request: Any) -> Any:
        response = handler(request)
        if request.method != "GET" or response.status_int != 200 or FILE.fullmatch(request.path_info) is None:
            return response
        file = response.app_iter.file if isinstance(response.app_iter, FileIter) else None
        if file is None or not response.content_length or not file.seekable():
            return response
        response.accept_ranges = "bytes"
        wanted = _wanted(request, response)
        return response if wanted is None else _part(response, file, wanted)

    return answer


def _wanted(request: Any, response: Any) -> Any | None:
    """The one range that is asked for; None for several, and for a part of an older file (If-Range)."""
    if "," in request.headers.get("Range", ""):
        return None
    condition = request.headers.get("If-Range")
    return request.range if condition in {None, response.headers.get("Last-Modified")} else None


def _part(response: Any, file: BinaryIO, wanted: Any) -> Any:
    """The part of the file that is asked for, or the refusal of one that is beyond its end."""
    length = response.content_length
    found = wanted.content_range(length)
    if found is None:
        response.app_iter.close()
        refusal = Response(status=416)
        refusal.content_range = (None, None, length)
        return refusal
    file.seek(found.start)
    response.status_int = 206
    response.content_range = found
    response.app_iter = FilePart(file, found.stop - found.start)
    response.content_length = found.stop - found.start
    return response


class FilePart:
    """So many bytes of an open file, which is closed at the end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def __iter__(self) -> Iterator[bytes]:
        while self._left and (block := self._file.read(min(BLOCK, self._left))):
            self._left -= len(block)
            yield block

    def close(self) -> None:
        """Close the file; WSGI's contract."""
        self._file.close()
