"""Work that waits for git hosts, several pieces at a time; Ctrl-C ends all of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

AT_ONCE = 8
"""Repositories that are asked at the same time."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(items: Iterable[Item], work: Callable[[Item, Callable[[], bool]], Result]) -> list[Result]:
    """`work(item, cancelled)` for each item, in their order; `cancelled()` is true once the work should end.

    Raises what `work` raises.
    """
    listed = list(items)
    if not listed:
        return []
    stop = threading.Event()
    with ThreadPoolExecutor(min(AT_ONCE, len(listed)), thread_name_prefix="git") as threads:
        try:
            running = [threads.submit(work, item, stop.is_set) for item in listed]
            return [one.result() for one in running]
        except BaseException:  # Ctrl-C: what still runs is ended, or leaving the pool would wait for it
            stop.set()
            threads.shutdown(wait=False, cancel_futures=True)
            raise
