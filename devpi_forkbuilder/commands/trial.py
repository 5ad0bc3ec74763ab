"""What builds need, tried before there is a server: for `up` and `doctor`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devpi_forkbuilder.options import Options
from devpi_forkbuilder.pipeline.frontend.interpreters import own_interpreter
from devpi_forkbuilder.pipeline.process.disk_space import existing
from devpi_forkbuilder.pipeline.process.extra_tools import ToolFolders
from devpi_forkbuilder.pipeline.process.programs import Tools
from devpi_forkbuilder.pipeline.sandbox.probe import check_tiers


def check_builder(options: Options) -> None:
    """Raise what keeps this machine from building: a program or a sandbox is missing, or an option is not fit.

    Nothing is left behind; the folder of `options` need not be there yet. Raises OSError as well.
    """
    Tools.find(os.environ.get("PATH", os.defpath))
    if options.farm:  # builds run elsewhere
        return
    readable = must_read(options)
    with scratch_of(options.folder) as scratch:
        check_tiers(
            options.sandbox, scratch=scratch, readable=readable, limits=options.limits, first_uid=options.first_uid
        )


def must_read(options: Options) -> tuple[Path, ...]:
    """What every build has to be able to read beside the system. Raises InfrastructureError for --forkbuilder-tools."""
    return (own_interpreter().prefix, *ToolFolders.judged(options.tools).folders)


@contextmanager
def scratch_of(folder: Path) -> Iterator[Path]:
    """Where builds will be: the server's own folder for them, or one beside it that is gone afterwards."""
    work = folder / "work"
    if work.is_dir():
        yield work
        return
    with tempfile.TemporaryDirectory(prefix=".forkbuilder-", dir=existing(folder)) as name:
        yield Path(name)
