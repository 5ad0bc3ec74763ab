"""Work in parallel that an interrupt ends at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(work: Callable[[Item], Result], items: Iterable[Item], hands: int) -> Iterator[tuple[Item, Result]]:
    """Every item with what `work` makes of it, as they end, at most `hands` at once.

    An exception of `work` is raised here and ends the rest. The threads are daemons: whoever is interrupted need not
    wait for an answer that does not come.
    """
    waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
    ended: queue.SimpleQueue[tuple[Item, Result | None, BaseException | None]] = queue.SimpleQueue()
    stop = threading.Event()
    count = 0
    for item in items:
        waiting.put(item)
        count += 1

    def hand() -> None:
        while not stop.is_set():
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                ended.put((item, work(item), None))
            except BaseException as error:  # noqa: BLE001 - it is raised where the work was asked for
                ended.put((item, None, error))

    for _ in range(min(hands, count)):
        threading.Thread(target=hand, name="forkbuilder-warm", daemon=True).start()
    try:
        for _ in range(count):
            item, result, error = ended.get()
            if error is not None:
                raise error
            yield item, result  # type: ignore[misc]  # without an error there is a result
    finally:
        stop.set()
