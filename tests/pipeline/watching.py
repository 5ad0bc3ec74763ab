"""Who follows a command in tests: a log that keeps what it gets."""

from __future__ import annotations

from devpi_forkbuilder.pipeline.process.watch import TransferWatch


class Lines:
    """A LogSink that remembers: `written` of others, `said` of our own."""

    def __init__(self) -> None:
        self.written = b""
        self.said: list[str] = []

    def write(self, data: bytes) -> None:
        self.written += data

    def say(self, line: str) -> None:
        self.said.append(line)

    @property
    def fetches(self) -> list[str]:
        return [line for line in self.said if line.startswith("git fetch ")]

    @property
    def text(self) -> str:
        return "\n".join([*self.said, self.written.decode("utf-8", "replace")])


def never() -> bool:
    return False


def watch() -> TransferWatch:
    return TransferWatch(Lines(), never)
