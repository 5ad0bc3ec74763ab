"""A build's log: a file that grows while people read it, and never past its limit.

The first half of the limit is written as it comes. After that the last bytes are kept in memory, and the file's second
half is rewritten from them every few seconds: readers see the head, one line that says how much is left out, and the
newest output. `close` writes it a last time, so the file at rest is exactly head, note and tail.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from devpi_forkbuilder.pipeline.process.command import MEBIBYTE

OWN = "[forkbuilder] "
"""How our own lines begin."""
FORGED, QUOTED = b"[forkbuilder]", b"[forkbuilder?]"
"""What a build writes that could pass for one, and what becomes of it: wherever it stands in a line, since a carriage
return, an escape sequence or the cut before the tail may make it the beginning."""
NOTE_SPACE = 100


class BuildLog:
    """A LogSink that writes to `path`, at most `limit` bytes; safe to use from several threads.

    `refresh` is the time in seconds between two rewrites of the second half, `clock` a monotonic clock. Whatever the
    disk says, nothing is raised: what cannot be written is lost. Nothing is redacted here.
    """

    def __init__(
        self,
        path: Path,
        *,
        limit: int = 10 * MEBIBYTE,
        refresh: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.half = max((limit - NOTE_SPACE) // 2, 1)
        self.refresh = refresh
        self.clock = clock
        self._lock = threading.Lock()
        self._head = 0
        self._left_out = 0
        self._tail = bytearray()
        self._held = b""
        self._at_line_start = True
        self._shown = clock()
        self._file: BinaryIO | None = None
        with contextlib.suppress(OSError):
            self._file = path.open("w+b", buffering=0)

    def __enter__(self) -> BuildLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def write(self, data: bytes) -> None:
        """Append `data`, which may be any part of a line. Never raises."""
        if data:
            with self._lock:
                self._append(self._quoted(data))

    def say(self, line: str) -> None:
        """Append a line of our own, on a line of its own. Line ends inside it cannot pass for other lines."""
        text = OWN + " ".join(line.splitlines())
        with self._lock:
            self._append(self._unheld())
            start = b"" if self._at_line_start else b"\n"
            self._append(start + text.encode("utf-8", "backslashreplace") + b"\n")

    def tail(self, n_bytes: int) -> bytes:
        """The last `n_bytes` bytes that were written, or all when there are fewer."""
        with self._lock:
            if len(self._tail) >= n_bytes or self._left_out:
                return bytes(self._tail[max(len(self._tail) - n_bytes, 0) :])
            return (self._head_end(n_bytes - len(self._tail)) + self._tail)[-n_bytes:] if n_bytes > 0 else b""

    def close(self) -> None:
        """Write what is not written yet; a second call does nothing."""
        with self._lock:
            if self._file is not None:
                self._append(self._unheld())
                self._show()
                with contextlib.suppress(OSError):
                    self._file.close()
                self._file = None

    def _quoted(self, data: bytes) -> bytes:
        """`data` without what only we may say; an end of it that may be the beginning of that is held back."""
        data = (self._held + data).replace(FORGED, QUOTED)
        length = next((n for n in range(len(FORGED) - 1, 0, -1) if data.endswith(FORGED[:n])), 0)
        self._held = data[len(data) - length :]
        return data[: len(data) - length]

    def _unheld(self) -> bytes:
        data, self._held = self._held, b""
        return data

    def _append(self, data: bytes) -> None:
        if not data:
            return
        self._at_line_start = data.endswith(b"\n")
        room = self.half - self._head
        if room > 0:
            self._put(self._head, data[:room])
            self._head += len(data[:room])
            data = data[room:]
        if data:
            self._tail += data
            over = len(self._tail) - self.half
            # A slack saves moving the whole tail for each small write.
            if over > self.half // 8:
                del self._tail[:over]
                self._left_out += over
            if self.clock() - self._shown >= self.refresh:
                self._show()

    def _show(self) -> None:
        self._shown = self.clock()
        if not self._tail:
            return
        over = max(len(self._tail) - self.half, 0)
        del self._tail[:over]
        self._left_out += over
        note = f"\n{OWN}... {self._left_out} bytes left out ...\n".encode() if self._left_out else b""
        self._put(self._head, note + self._tail)
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.truncate(self._head + len(note) + len(self._tail))

    def _put(self, offset: int, data: bytes) -> None:
        if self._file is None:
            return
        with contextlib.suppress(OSError):  # a full disk loses log, not the build
            self._file.seek(offset)
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]

    def _head_end(self, n_bytes: int) -> bytes:
        if self._file is None:
            return b""
        with contextlib.suppress(OSError):
            start = max(self._head - n_bytes, 0)
            self._file.seek(start)
            return self._file.read(self._head - start)
        return b""
