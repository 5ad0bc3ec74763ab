"""Tells a URL of the operator's of builds that ended: a signed POST, tried again with growing pauses.

Nothing waits for it. What cannot be delivered is dropped in the end, and said in the server's log.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from devpi_forkbuilder.domain.pins.pins import without_user_info
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.pipeline.tracing import current_trace
from devpi_forkbuilder.service.failures import printable_line, report_exception
from devpi_forkbuilder.service.records import Record
from devpi_forkbuilder.service.seams import Clock

log = logging.getLogger(__name__)

MOST = 1000
"""Notices that wait at once; what comes beyond is dropped."""
PAUSES = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Seconds between two tries of one notice."""
PATIENCE = 10.0
SIGNATURE = "X-Forkbuilder-Signature"
TIMESTAMP = "X-Forkbuilder-Timestamp"
EVENT = "X-Forkbuilder-Event"
DELIVERY = "X-Forkbuilder-Delivery"
NAME = "forkbuilder-webhook"
REMEMBERED = 10_000

Post = Callable[[str, bytes, Mapping[str, str]], int]
"""Sends a body with headers to a URL; the status. Raises OSError."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One POST: its event (`built`, `failed`, `recovered`), its body, and a name that is the same for every try."""

    event: str
    body: bytes
    delivery: str


class Webhook:
    """Hears of ended builds (`ended`), and delivers one notice after the other in a thread of its own."""

    def __init__(self, url: str, secret: bytes, clock: Clock, post: Post | None = None, most: int = MOST) -> None:
        self._url = url
        self._secret = secret
        self._clock = clock
        self._post = post or send
        self._notices: queue.Queue[Notice] = queue.Queue(most)
        self._stopping = threading.Event()
        self._failing: dict[tuple[str, str, str], None] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to deliver. Never raises."""
        threading.Thread(target=self._run, name=NAME, daemon=True).start()

    def stop(self) -> None:
        """End; what waits is dropped."""
        self._stopping.set()

    def ended(self, record: Record) -> None:
        """A build has ended. Never waits, never raises."""
        try:
            event = self._event(record)
            if event is not None:
                body = json.dumps(notice_content(event, record, self._clock.now())).encode()
                self._notices.put_nowait(Notice(event, body, hashlib.sha256(body).hexdigest()[:32]))
        except queue.Full:
            log.warning("The webhook is %d notices behind: one of %s is dropped.", MOST, record.key.project)
        except Exception as error:  # noqa: BLE001 - a notice is not worth a build
            report_exception(error, "making a notice for the webhook")

    def deliver_next(self, timeout: float) -> bool | None:
        """Deliver the oldest notice, waiting so long for one; whether that went well, None when there was none."""
        try:
            notice = self._notices.get(timeout=timeout)
        except queue.Empty:
            return None
        why = ""
        for pause in (0.0, *PAUSES):
            if pause and self._stopping.wait(pause):
                return False
            why = self._try(notice)
            if not why:
                return True
        log.warning("The webhook did not get %s (%s): %s.", notice.event, notice.delivery, why)
        return False

    def _event(self, record: Record) -> str | None:
        """What there is to tell; None for what another build had served."""
        key = (record.key.index, record.key.project, record.key.python)
        with self._lock:
            if record.state is State.FAILED:
                if len(self._failing) >= REMEMBERED:
                    del self._failing[next(iter(self._failing))]
                self._failing[key] = None
                return "failed"
            failed = key in self._failing
            self._failing.pop(key, None)
        if record.state is not State.BUILT or not (record.seconds or failed):
            return None
        return "recovered" if failed or record.attempts > 1 else "built"

    def _try(self, notice: Notice) -> str:
        """One try; why it failed, or nothing."""
        moment = str(int(self._clock.now()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "devpi-forkbuilder",
            EVENT: notice.event,
            DELIVERY: notice.delivery,
            TIMESTAMP: moment,
            SIGNATURE: f"sha256={signature(self._secret, moment, notice.body)}",
        }
        try:
            status = self._post(self._url, notice.body, headers)
        except OSError as error:
            return type(error).__name__
        except Exception as error:  # noqa: BLE001 - whatever an answer makes of the client, the thread goes on
            report_exception(error, "telling the webhook")
            return type(error).__name__
        return "" if status // 100 == 2 else f"it answers {status}"

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.deliver_next(1.0)


def notice_content(event: str, record: Record, now: float) -> dict[str, Any]:
    """The body of a notice; moments in seconds since the epoch."""
    key, error = record.key, record.error
    failure = None
    if record.state is State.FAILED and error is not None:
        message = without_user_info(printable_line(error.message))
        failure = {"kind": error.kind.value, "reference": error.reference, "stage": error.stage.value}
        failure["message"] = message
    return {
        "event": event,
        "at": now,
        "index": key.index,
        "project": key.project,
        "version": key.version or None,
        "commit": key.commit,
        "python": key.python or None,
        "state": record.state.value,
        "error": failure,
        "seconds": dict(record.seconds),
        "log": f"/{key.index}/+forks/{key.project}/{key.commit}/log",
        "order": key.id,
        "attempt": record.attempts,
        "trace": current_trace().trace_id,
    }


def signature(secret: bytes, moment: str, body: bytes) -> str:
    """HMAC-SHA256 (RFC 2104) of `MOMENT.BODY` in hex: an old notice cannot be sent again as a new one."""
    return hmac.new(secret, moment.encode() + b"." + body, hashlib.sha256).hexdigest()


class _Stay(HTTPRedirectHandler):
    """The operator named one host; another one gets nothing."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: an answer 3xx is a failure."""


def send(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """POST; the status. Raises OSError, and ValueError for a URL that is neither http nor https."""
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError("not a web address")
    request = Request(url, body, dict(headers), method="POST")  # noqa: S310 - the scheme was looked at
    try:
        with build_opener(_Stay()).open(request, timeout=PATIENCE) as answer:
            return int(answer.status)
    except HTTPError as error:
        error.close()
        return int(error.code)
