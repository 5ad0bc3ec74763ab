"""A server's store, opened beside the server or in its place: nothing is started, `.nodeinfo` stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devpi_server.keyfs import KeyFS
from devpi_server.main import XOM

from devpi_forkbuilder.devpi import storage
from devpi_forkbuilder.devpi.command_line import read_command_line
from devpi_forkbuilder.devpi.names import SEVEN
from devpi_forkbuilder.errors import InfrastructureError, RefusedError


def open_store(server_path: Path, words: Sequence[str], node: Mapping[str, Any], *, readonly: bool = True) -> Any:
    """devpi's `xom` for the store of `server_path`, as the node `node`; `words` say which storage.

    The work that devpi does after a crash is left out: another process may be in the middle of a transaction.
    Raises RefusedError and InfrastructureError.
    """
    if SEVEN:
        raise RefusedError(
            "not-with-devpi-7",
            "backup, restore and promote do not know the storage of devpi-server 7 yet.",
            next_step="Use devpi-export and devpi-import; a replica's directory can be copied while it is stopped.",
        )
    from devpi_server.model import add_keys  # noqa: PLC0415 - only there

    storage.repair_sqlite(server_path)
    config = read_command_line(["--serverdir", str(server_path), *words])
    config.__dict__["nodeinfo"] = {**node}
    config.nodeinfo.setdefault("uuid", "")
    try:
        config._determine_storage()
        xom = XOM(config)
        keyfs = KeyFS(
            server_path,
            config.storage,
            io_file_factory=config.io_file_factory,
            readonly=readonly,
            cache_size=config.args.keyfs_cache_size,
        )
    except Exception as error:
        what = f"The store of {server_path} cannot be opened: {type(error).__name__}: {error}"
        step = "Name the storage as the server does: --storage, --storage-password-file."
        raise InfrastructureError("store-unusable", what, next_step=step, retryable=False) from error
    add_keys(xom, keyfs)
    xom.__dict__["keyfs"] = keyfs
    return xom
