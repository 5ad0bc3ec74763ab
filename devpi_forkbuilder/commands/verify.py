"""`devpi-forkbuilder verify`: is everything of a manifest in a cache, with the same content?"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devpi_forkbuilder.client.progress import Progress
from devpi_forkbuilder.commands.indexes import index_url, open_web, positive
from devpi_forkbuilder.domain.manifest import Manifest
from devpi_forkbuilder.errors import RefusedError


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "verify",
        help="compare a cache with a manifest written by warm",
        description="Compare a cache with a manifest written by warm. Nothing is built, and nothing is fetched.",
        epilog="The exit status is 1 when something differs.",
    )
    add = parser.add_argument
    add(
        "--index-url",
        required=True,
        metavar="URL",
        help="URL of the index, as for pip: http://HOST/USER/NAME/+simple/",
    )
    add("--manifest", required=True, metavar="FILE", help="the manifest")
    add("--quick", action="store_true", help="trust the hashes that the server states; read no file")
    add("--jobs", type=positive, default=8, metavar="NUM", help="requests at once; default: 8")
    add("--quiet", action="store_true", help="no progress, only differences and the sum")
    parser.set_defaults(run=run, usage_error=parser.error)


def run(arguments: argparse.Namespace, more: Sequence[str]) -> int:
    """Compare, and tell each difference; 1 when there is one."""
    if more:
        arguments.usage_error(f"unrecognized arguments: {' '.join(more)}")
    from devpi_forkbuilder.pipeline.frontend.interpreters import own_interpreter, own_platform  # noqa: PLC0415  (as in warm)
    from devpi_forkbuilder.warming.verify import Verification  # noqa: PLC0415

    manifest = _manifest(Path(arguments.manifest))
    own, web = own_platform(own_interpreter()), open_web(index_url(arguments.index_url), time.sleep, arguments.jobs)
    with Progress(os.environ, quiet=arguments.quiet) as progress:
        found = Verification(web, progress, own, arguments.quick, arguments.jobs).differences(manifest)
    sys.stderr.flush()
    print(f"{len(manifest.files) - len(found)} of {len(manifest.files)} files are as the manifest says.")
    for one in found:
        print(f"  {one}")
    sys.stdout.flush()
    return int(bool(found))


def _manifest(path: Path) -> Manifest:
    """A manifest from the disk. Raises RefusedError."""
    try:
        return Manifest.read(path.read_text(encoding="utf-8"))
    except OSError as error:
        what = f"{path} cannot be read ({error.strerror})."
    except ValueError as fault:  # text that is not UTF-8 is one, too
        what = f"{path} is not a manifest: {fault}."
    raise RefusedError("manifest-unreadable", what, next_step="devpi-forkbuilder warm --manifest FILE writes one.")
