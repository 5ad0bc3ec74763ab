"""The index that a command is given as `--index-url`."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TYPE_CHECKING

from devpi_forkbuilder.errors import RefusedError

if TYPE_CHECKING:  # these import what an extra brings
    from devpi_forkbuilder.warming.web import IndexUrl, Web


def index_url(text: str) -> IndexUrl:
    """The index of an argument. Raises RefusedError."""
    from devpi_forkbuilder.warming.web import IndexUrl  # noqa: PLC0415  (the extra `warm` may not be installed)

    try:
        return IndexUrl.parse(text)
    except ValueError as fault:
        raise RefusedError("index-url-invalid", str(fault)) from None


def open_web(index: IndexUrl, pause: Callable[[float], None], hands: int) -> Web:
    """Requests to an index. Raises RefusedError at once when nothing answers, or when there is no such index."""
    from devpi_forkbuilder.warming.protocols import NotFetchedError  # noqa: PLC0415
    from devpi_forkbuilder.warming.web import Web  # noqa: PLC0415  (as above)

    web = Web(index, pause, hands)
    try:
        web.open()
    except NotFetchedError as error:
        what = f"The index {index.pages} cannot be asked: {error.why}."
        raise RefusedError("index-unanswered", what, next_step="Check the URL, and whether the server runs.") from None
    return web


def positive(text: str) -> int:
    """A whole number above zero; raises ArgumentTypeError."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)
