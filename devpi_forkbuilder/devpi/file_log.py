"""The log that devpi keeps with each file, with the provenance of a build as an entry of its own.

devpi-server 6 stores whatever an entry has. devpi-server 7 writes a fixed set of keys, and its import refuses others
(`ELink.add_logs`), those of an export from version 6 too; what it has stored it keeps, replicates and exports.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Mapping
from typing import Any

from devpi_forkbuilder.devpi.names import SEVEN

WHO = "forkbuilder"
WHAT = "build"


def add_build_entry(store: Any, link: Any, provenance: Mapping[str, str]) -> None:
    """Append the provenance of a build to the log of `link`, a link of the mutable link store `store`."""
    if not SEVEN:
        link.add_log(WHAT, WHO, **provenance)
        return
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with store.key_versionfile(link.basename).with_resolved_parent().update() as stored:
        stored["log"] = [*stored.get("log", ()), {"what": WHAT, "who": WHO, "when": when, **provenance}]


def accept_build_entries() -> None:
    """Let `devpi-import` of version 7 take entries of builds as they are; once in each process."""
    if not SEVEN:
        return
    from devpi_server.model.links import ELink  # noqa: PLC0415 - only there

    original = ELink.add_logs
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def add_logs(link: Any, logs: Iterable[Mapping[str, Any]]) -> None:
        for entry in logs:
            if entry.get("what") == WHAT and entry.get("who") == WHO:
                link._log.append(dict(entry))
            else:
                original(link, [entry])

    ELink.add_logs = add_logs
