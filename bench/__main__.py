"""All benchmarks as one command; it prints figures and asserts nothing about time.

python -m bench [--quick] [--write DIR] [NAME]...
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Figure
from bench.report import shown, write

NAMES = ("pages", "peers", "resolve", "pins", "replica", "cold")


def main() -> None:
    """Run the benchmarks that are named, or all, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(NAMES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="one short round of each: it shows that they run")
    parser.add_argument("--write", type=Path, metavar="DIR", help="write a table and a chart there")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; choose from {', '.join(NAMES)}")
    found = run(given.names or NAMES, quick=given.quick)
    if given.write is not None:
        write(given.write, found, quick=given.quick)


def run(names: Sequence[str], *, quick: bool) -> list[Figure]:
    """The figures, each printed as soon as it is there."""
    found: list[Figure] = []
    for name in names:
        module = importlib.import_module(f"bench.{name}")
        about = (module.__doc__ or "").strip().splitlines()[0]
        print(f"\n{name}: {about}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            for figure in module.figures(Path(folder), quick=quick):
                print(shown(figure), flush=True)
                found.append(figure)
    return found


if __name__ == "__main__":
    sys.exit(main())
