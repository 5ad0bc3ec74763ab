"""What an answer rests on: the keys of devpi's store that were read for it, and conditions outside the store.

devpi's transaction notes every key that is read through it. An answer still holds as long as no later commit changed
one of them, so commits to other indexes do not matter, and nobody has to list what a page depends on: a base that was
not there is a key that was read, too. devpi-server 7 does not note the keys that are absent: there, each commit counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from devpi_forkbuilder.devpi.names import SEVEN
from devpi_forkbuilder.devpi.serial import ANY, LastSerial

Value = TypeVar("Value")
Condition = Callable[[], bool]
"""Returns whether something outside the store is still as it was. Called at each use, so it has to be cheap."""


@dataclass(frozen=True, slots=True)
class Facts:
    """`keys` as they were at `serial`, and `conditions` beyond devpi's store."""

    serial: int
    keys: frozenset[str] = frozenset()
    conditions: tuple[Condition, ...] = ()

    def and_also(self, other: Facts) -> Facts:
        """Return the facts of an answer that was made from two readings."""
        return Facts(min(self.serial, other.serial), self.keys | other.keys, self.conditions + other.conditions)

    def if_only(self, *conditions: Condition) -> Facts:
        """Return these facts with further conditions."""
        return replace(self, conditions=self.conditions + conditions)


class Remembered(Generic[Value]):
    """A value with the facts that it rests on, and the newest serial at which they are known to hold. Thread-safe."""

    __slots__ = ("_checked", "facts", "value")

    def __init__(self, value: Value, facts: Facts) -> None:
        self.value = value
        self.facts = facts
        self._checked = facts.serial

    @property
    def checked(self) -> int:
        """The newest serial at which the facts are known to hold."""
        return self._checked

    def check(self, serial: int) -> None:
        """Note that nothing has changed until `serial`."""
        self._checked = max(self._checked, serial)

    def holds(self, store: LastSerial, serial: int) -> bool:
        """Return whether all facts still hold; `serial` was the store's last one when the question came up."""
        if serial != self._checked:
            if serial < self.facts.serial or store.of_keys(sorted(self.facts.keys)) > self.facts.serial:
                return False
            self._checked = serial
        return all(condition() for condition in self.facts.conditions)


class Reading:
    """What is read through the transaction of this thread from now on."""

    def __init__(self, keyfs: Any) -> None:
        self._keyfs = keyfs
        self._read = self._original()

    def facts(self) -> Facts | None:
        """Return what was read; None when the transaction was begun anew meanwhile, or wrote something."""
        read, tx = self._original(), self._keyfs.tx
        if read is None or read is not self._read or tx.write:
            return None
        return Facts(int(tx.at_serial), frozenset({ANY} if SEVEN else (str(key.relpath) for key in read)))

    def _original(self) -> dict[Any, Any] | None:
        # not part of devpi's API: where it is missing, nothing is known, and nothing is kept
        found = getattr(self._keyfs.tx, "_original", None)
        return found if isinstance(found, dict) else None
