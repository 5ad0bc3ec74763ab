"""The console script: nothing is imported before Ctrl-C is answered without a traceback."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; 130 after Ctrl-C, at whatever moment it comes."""
    try:
        from devpi_forkbuilder.commands.main import main as run  # noqa: PLC0415  (importing takes a while)

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
