"""A large page of a mirror, stored in PostgreSQL by a few statements.

devpi-postgresql 5 asks for each link's key by a statement of its own and writes each by another (seen with a page of
3,000 links: 6,000 statements of three messages each). For the transaction that stores a page, its connection answers
the former from one question and gathers the latter into one statement.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

READ = "SELECT keyname, serial FROM kv WHERE key = :relpath"
WRITE = "INSERT INTO kv(key, keyname, serial) VALUES (:relpath, :name, :serial)"
ASK_ALL = "SELECT key, keyname, serial FROM kv WHERE key = ANY(CAST(:keys AS text[]))"
WRITE_ALL = """
    INSERT INTO kv(key, keyname, serial)
        SELECT key, keyname, :serial
        FROM unnest(CAST(:keys AS text[]), CAST(:names AS text[])) AS new(key, keyname)
    ON CONFLICT (key) DO UPDATE SET keyname = EXCLUDED.keyname, serial = EXCLUDED.serial"""


class Batches:
    """The `_sqlconn` of one connection: pg8000's, whose statements on single keys are answered and written together."""

    def __init__(self, connection: Any, keys: Iterable[str]) -> None:
        self._connection = connection
        asked = list(keys)
        self._known: dict[str, list[list[Any]]] = {key: [] for key in asked}
        for key, name, serial in connection.run(ASK_ALL, keys=asked):
            self._known[key] = [[name, serial]]
        self._written: dict[int, dict[str, str]] = {}

    def run(self, statement: str, **values: Any) -> Any:
        """As pg8000's. What was asked for ahead is given once: a second question is about something newer."""
        words = " ".join(statement.split())
        if words == READ and values["relpath"] in self._known:
            return self._known.pop(values["relpath"])
        if words.startswith(WRITE):
            self._written.setdefault(values["serial"], {})[values["relpath"]] = values["name"]
            return []
        self._write()
        return self._connection.run(statement, **values)

    def _write(self) -> None:
        written, self._written = self._written, {}
        for serial, keys in written.items():
            self._connection.run(WRITE_ALL, serial=serial, keys=list(keys), names=list(keys.values()))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def batch(transaction: Any, keys: Iterable[str]) -> None:
    """Store what follows in this write transaction about `keys` (paths in devpi's store) together, on PostgreSQL."""
    connection = transaction.conn
    if type(connection).__module__.startswith("devpi_postgresql"):
        connection._sqlconn = Batches(connection._sqlconn, keys)
