"""Hook implementations for devpi-server, and the one place where the object graph is put together."""

from __future__ import annotations
