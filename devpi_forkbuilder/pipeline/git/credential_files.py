"""What git may show to hosts, and whether the files with it are as closed as files with secrets have to be."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.git.credential_helper import parse

READABLE_BY_OTHERS = stat.S_IRWXG | stat.S_IRWXO
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class CredentialFiles:
    """A git-credential-store file, an ssh key, and the hosts that ssh knows."""

    credentials_file: Path | None = None
    ssh_key: Path | None = None
    known_hosts: Path | None = None

    def check(self) -> None:
        """Look at the files: they may have changed since the last look.

        Raises InfrastructureError (`secret-missing`, `secret-exposed`, `known-hosts-exposed`).
        """
        for path, option in ((self.credentials_file, "credentials"), (self.ssh_key, "ssh-key")):
            if path is not None and _mode(path, option) & READABLE_BY_OTHERS:
                what = f"{path} (--forkbuilder-{option}) may be read by others than the server's user."
                step = f"Run 'chmod 600 {path}'; a container's secret is mounted with mode 0400."
                raise InfrastructureError("secret-exposed", what, next_step=step)
        if self.known_hosts is not None and _mode(self.known_hosts, "known-hosts") & WRITABLE_BY_OTHERS:
            what = f"{self.known_hosts} (--forkbuilder-known-hosts) may be written by others than its owner."
            raise InfrastructureError("known-hosts-exposed", what, next_step=f"Run 'chmod 644 {self.known_hosts}'.")

    def odd_lines(self) -> tuple[int, ...]:
        """The numbers of the lines of the credentials file that say nothing; raises OSError."""
        if self.credentials_file is None:
            return ()
        return parse(self.credentials_file.read_text(encoding="utf-8", errors="replace"))[1]


def _mode(path: Path, option: str) -> int:
    step = f"Check --forkbuilder-{option} and at the file's owner and mode."
    try:
        mode = path.stat().st_mode
    except OSError as error:
        what = f"{path} (--forkbuilder-{option}) cannot be read: {error.strerror}."
        raise InfrastructureError("secret-missing", what, next_step=step) from error
    if not (stat.S_ISREG(mode) and os.access(path, os.R_OK)):
        what = f"{path} (--forkbuilder-{option}) is not a file that this server can read."
        raise InfrastructureError("secret-missing", what, next_step=step)
    return mode
