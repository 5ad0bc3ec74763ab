"""Tickets: what lets a worker speak for one attempt at one order, and for nothing else.

A ticket is readable, and its end is an HMAC (RFC 2104) over the rest. An offer, which is what the queue holds, is a
ticket for attempt 0: it only lets a worker take the order, and is answered with the ticket of a new attempt.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

FORM = re.compile(r"([0-9a-f]{32})~(\d{1,9})~([A-Za-z0-9][A-Za-z0-9._-]{0,63}|-)~(\d{1,18})~([0-9a-f]{64})")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names of workers."""
OFFER = 0
NOBODY = "-"


class WorkRefusedError(Exception):
    """What a worker asked for is refused: the HTTP `status`, and a sentence for its log.

    403: no such ticket was ever given. 404: no such thing to do. 409: it is over. 413: too much. 422: not what it has
    to be. 426: another release.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Ticket:
    """An attempt by a worker at an order, until `expires` (seconds of the primary's monotonic clock)."""

    order: str
    attempt: int
    worker: str
    expires: int


class TicketKey:
    """Signs tickets and reads them. `key` is the primary's own secret, 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, ticket: Ticket) -> str:
        """The ticket as text for a URL."""
        text = f"{ticket.order}~{ticket.attempt}~{ticket.worker}~{ticket.expires}"
        return f"{text}~{self._digest(text)}"

    def read(self, text: str, now: float) -> Ticket:
        """The ticket in `text`. Raises WorkRefusedError: 403 for what was not signed here, 409 when it has expired."""
        parts = FORM.fullmatch(text)
        if parts is None or not hmac.compare_digest(self._digest(text.rpartition("~")[0]), parts[5]):
            raise WorkRefusedError(403, "This is not a ticket of this server's.")
        ticket = Ticket(parts[1], int(parts[2]), parts[3], int(parts[4]))
        if now > ticket.expires:
            raise WorkRefusedError(409, "This ticket has expired.")
        return ticket

    def _digest(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
