"""Record README's first command and an installation as a picture: `python bench/terminal.py docs/terminal.svg`.

What is shown is what was printed; folders and the port are written as a reader has them, and pip's own chatter is cut.
"""

from __future__ import annotations

import io
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
INSTALL = "pip install --index-url http://localhost:3141/main/forks/+simple/ devpi-forkbuilder"
SHOWN = re.compile(r"devpi-forkbuilder serves|  \+ |Ready:|.* (fetching|building|checking|publishing|built in .*)$")


def free_port() -> int:
    """A port that nobody listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


@contextmanager
def serving(folder: Path, port: int) -> Iterator[Path]:
    """`up` on this checkout; the file that it prints to."""
    output = folder / "output"
    words = [sys.executable, "-m", "devpi_forkbuilder.commands.main", "up", str(ROOT)]
    with output.open("wb") as file:
        place = ["--serverdir", str(folder / "server"), "--port", str(port)]
        process = subprocess.Popen([*words, *place], stdout=file, stderr=subprocess.STDOUT)
        try:
            until = time.monotonic() + 120
            while "Ready:" not in output.read_text() and time.monotonic() < until:
                time.sleep(0.1)
            yield output
        finally:
            process.terminate()
            process.wait(30)


def installed(folder: Path, port: int) -> list[str]:
    """What pip prints when it installs from the index."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "client")], check=True)
    pip = [str(folder / "client" / "bin" / "pip"), "install", "--no-deps", "--no-cache-dir", "--progress-bar", "off"]
    words = [*pip, "--index-url", f"http://localhost:{port}/main/forks/+simple/", "devpi-forkbuilder"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return [line for line in done.stdout.splitlines() if line.startswith(("Collecting", "Successfully"))]


def main(target: Path) -> None:
    """Record, and write the picture."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        with serving(folder, port) as output:
            pip = installed(folder, port)
            time.sleep(1)  # the last state is printed after the answer
            up = [line for line in output.read_text().splitlines() if SHOWN.match(line)]
        lines = ["$ .venv/bin/devpi-forkbuilder up .", *up, "", f"$ {INSTALL}", *pip]
        known = {str(folder / "server"): "~/.devpi/forkbuilder", str(ROOT): "/src/devpi-forkbuilder"}
    console = Console(record=True, width=116, file=io.StringIO(), highlight=False)
    for printed in lines:
        line = printed
        for path, shown in known.items():
            line = line.replace(path, shown)
        line = line.replace(f":{port}", ":3141")
        line = re.sub(r"git\+file://\S*?@([0-9a-f]{7})[0-9a-f]+", r"git+file:///src/devpi-forkbuilder@\1…", line)
        style = "bold" if line.startswith("$") else "green" if line.startswith(("Ready", "Success")) else ""
        console.print(Text(line, style=style))
    picture = console.export_svg(title="devpi-forkbuilder")
    # fonts from elsewhere are not loaded in a page that shows the picture
    target.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
