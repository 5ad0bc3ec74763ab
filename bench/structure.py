"""The shape of the code in figures: sizes, names that stand twice, `Any`, and the way of a cold miss.

    python -m bench.structure [PACKAGE] [--miss]

PACKAGE is a folder of sources, so that another revision can be compared. With --miss, a fork is built by a real server
whose calls are recorded: the files and functions of this package that one cold miss runs through.
"""

from __future__ import annotations

import argparse
import ast
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.devpi import DevpiServer, initialise
from tests.layers import twice
from tests.live import Live, hosted

PACKAGE = Path(__file__).parent.parent / "devpi_forkbuilder"
RECORDER = """
import os, signal, sys, threading
seen = set()
def note(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith({package!r}):
        seen.add((code.co_filename[len({package!r}):], getattr(code, "co_qualname", code.co_name)))
def begin(number, frame):
    seen.clear()
def write(number, frame):
    with open({out!r} + ".new", "w") as file:
        file.writelines(sorted(f"{{path}} {{name}}\\n" for path, name in seen))
    os.replace({out!r} + ".new", {out!r})
if "--serverdir" in sys.orig_argv:
    sys.setprofile(note); threading.setprofile(note)
    signal.signal(signal.SIGUSR1, begin); signal.signal(signal.SIGUSR2, write)
"""
"""A `sitecustomize` that records calls: SIGUSR1 forgets what was seen, SIGUSR2 writes it."""


def sizes(sources: dict[str, str]) -> tuple[list[int], list[int]]:
    """Lines of each module and of each function."""
    functions = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for text in sources.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [len(text.splitlines()) for text in sources.values()], functions


def any_count(sources: dict[str, str]) -> int:
    """How often an annotation says `Any`."""
    nodes = (node for text in sources.values() for node in ast.walk(ast.parse(text)))
    return sum(isinstance(node, ast.Name) and node.id == "Any" for node in nodes)


def summary(sources: dict[str, str]) -> Iterator[str]:
    """The figures of a tree of sources, a line each."""
    modules, functions = sizes(sources)
    yield f"modules                {len(modules)} with {sum(modules)} lines"
    for what, found in (("lines of a module", modules), ("lines of a function", functions)):
        percentile = statistics.quantiles(found, n=20)[-1]
        yield f"{what:<22} median {statistics.median(found):.0f}, 95th percentile {percentile:.0f}, most {max(found)}"
    yield f"names that stand twice {len(twice(sources))}"
    yield f"Any                    {any_count(sources)}"


def cold_miss(folder: Path) -> list[str]:
    """`path function` of everything in the package that one cold miss calls, from the request to the page."""
    out = folder / "calls"
    (folder / "sitecustomize.py").write_text(RECORDER.format(package=f"{PACKAGE}{os.sep}", out=str(out)))
    template = initialise(folder / "template", "--no-root-pypi")
    with hosted(folder / "git") as host:
        options = {"template": template, "environment": {"PYTHONPATH": str(folder)}}
        with DevpiServer(folder / "server", *host.allowed, **options) as server:
            live = Live(server, host)
            warm, fork = host.fork("inline"), host.fork("inline")
            live.file(live.index_of(warm), warm.project)  # what a server does once is not a part of the way
            index = live.index_of(fork)
            os.kill(server.pid, signal.SIGUSR1)
            live.file(index, fork.project)
            os.kill(server.pid, signal.SIGUSR2)
            server.get("+api")  # the handler runs between two instructions of the main thread
            while not out.exists():
                time.sleep(0.01)
    return out.read_text().splitlines()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="The shape of the code in figures.")
    parser.add_argument("package", nargs="?", type=Path, default=PACKAGE)
    parser.add_argument("--miss", action="store_true", help="also record the way of a cold miss")
    parser.add_argument("--list", action="store_true", help="with --miss: print each function")
    arguments = parser.parse_args()
    root = arguments.package
    print("\n".join(summary({str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*.py"))})))
    if arguments.miss:
        with tempfile.TemporaryDirectory() as name:
            calls = cold_miss(Path(name))
        print(f"a cold miss            {len({line.split()[0] for line in calls})} files, {len(calls)} functions")
        if arguments.list:
            print("\n".join(calls))


if __name__ == "__main__":
    main()
