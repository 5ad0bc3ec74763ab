"""Logins of builds at their own server, for an index that not everybody may read.

Build requirements come through the index that has the pin. A pass lets one command of ours read it, as those may who
will read what is built: it is made for that command, only its environment has it, and it is worth nothing afterwards.
No code of a project runs meanwhile.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from devpi_forkbuilder.pipeline.git.credential_helper import Secret

USER = "+forkbuilder"
"""No user of devpi's can have this name."""

Login = Callable[[], AbstractContextManager[Secret]]
"""Makes a pass (the password of USER) that is good until the context ends."""


class IndexTokens:
    """Those that are good now. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._indexes: dict[str, str] = {}

    @contextmanager
    def issue(self, index: str) -> Iterator[Secret]:
        """A pass for `index` (`user/name`)."""
        secret = Secret(secrets.token_urlsafe(32))
        key = _digest(secret.reveal())
        with self._lock:
            self._indexes[key] = index
        try:
            yield secret
        finally:
            with self._lock:
                del self._indexes[key]

    def index_of(self, user: str, password: str) -> str | None:
        """The index that a login is good for; None when it is none of ours, or not good any more."""
        with self._lock:
            return self._indexes.get(_digest(password)) if user == USER else None


def _digest(password: str) -> str:
    """What passes are filed under: how long a look-up takes says nothing of them."""
    return hashlib.sha256(password.encode(errors="surrogatepass")).hexdigest()
