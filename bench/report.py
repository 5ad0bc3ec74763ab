"""Figures as text, as a table in Markdown and as a chart in SVG."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path

from bench.figures import Figure

WIDTH, BAR, STEP, LEFT = 760, 16, 40, 20
GOOD, BAD, NONE = "#2a7f4f", "#b3372f", "#5b6b7f"
ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- figures: written by python -m bench --write docs/benchmarks -->", "<!-- end of the figures -->"
SHOWN = {
    "ten forks by pip, cold index, over pip and git URLs, time": (
        "ten forks with pip through an empty index, time over that of `pip install` with the git URLs, without caches",
        "cold",
    ),
    "ten forks by uv, cold index, over pip and git URLs, time": ("the same with uv", "cold"),
    "ten forks by pip, warm index, over pip and git URLs, time": ("the same with pip, all built", "cold"),
    "page of a built fork, requests a second over devpi's alone": (
        "simple page of a built fork, requests a second over those of devpi-server without the plugin",
        "pages",
    ),
    "60 versions of 1 MiB through the index, time over that without": (
        "resolving a public project of 60 versions, time over that without the index",
        "resolve",
    ),
    "miss on a replica, over one on the primary": ("a miss on a replica, longer than on the primary by", "replica"),
}
"""Name of a figure to what README says of it, and the benchmark."""
PACKAGES = ("devpi-forkbuilder", "devpi-server", "waitress", "uv")


def shown(figure: Figure) -> str:
    """A line for the terminal."""
    name, value, bound, detail = figure.row
    return f"  {name:<64} {value:>12}  {bound:<24} {detail}".rstrip()


def machine() -> str:
    """What the figures were measured on, and when."""
    found = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", _read("/proc/meminfo"), re.MULTILINE)
    size = f", {int(memory[1]) // 2**20} GiB" if memory else ""
    processor = found[1] if found else platform.machine()
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = f"load {os.getloadavg()[0]:.1f} at the end"
    date = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    return f"{date}; {os.cpu_count()} CPUs ({processor}){size}, {load}; Python {platform.python_version()}; {versions}"


def write(folder: Path, figures: Sequence[Figure], *, quick: bool) -> None:
    """Write `README.md` and `figures.svg`; of a whole run for docs/benchmarks also README's table."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder.resolve() == ROOT / "docs" / "benchmarks" and not quick:
        place = ROOT / "README.md"
        place.write_text(with_table(place.read_text(encoding="utf-8"), figures), encoding="utf-8")
    rows = "\n".join("| " + " | ".join(figure.row) + " |" for figure in figures)
    note = " A quick run: one short round of each, which says little." if quick else ""
    folder.joinpath("README.md").write_text(
        "# Benchmarks\n\nAt the end you know how fast it is, against what, and how to measure it yourself.\n\n"
        "```sh\ntox -e bench\n```\n\n"
        "It needs `wrk`. `tox -e bench -- --quick` is one short round of each; names choose some of them.\n\n"
        "Rounds are interleaved: who is compared takes turns, so a machine that slows down slows both. Ratios are\n"
        f"medians over rounds.{note}\n\n{machine()}.\n\n"
        f"| what | measured | goal | detail |\n|---|---|---|---|\n{rows}\n\n"
        "![Each figure as a share of its goal](figures.svg)\n",
        encoding="utf-8",
    )
    folder.joinpath("figures.svg").write_text(chart(figures), encoding="utf-8")


def with_table(readme: str, figures: Sequence[Figure]) -> str:
    """`readme` with the table between its marks made from those of SHOWN that were measured; else as it is."""
    by_name = {figure.name: figure for figure in figures}
    rows = [
        f"| {text} | {by_name[name].row[1]} | `python -m bench {command}` |"
        for name, (text, command) in SHOWN.items()
        if name in by_name
    ]
    if len(rows) < len(SHOWN):
        return readme
    table = "\n".join([BEGIN, "| what | figure | command |", "|---|---|---|", *rows, END])
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: table, readme, flags=re.DOTALL)


def chart(figures: Iterable[Figure]) -> str:
    """Bars: each figure's share of its goal, which is the line in the middle."""
    with_goal = [figure for figure in figures if figure.goal]
    height = STEP * len(with_goal) + 20
    middle = LEFT + (WIDTH - 2 * LEFT) / 2
    size = f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="Each figure as a share of its goal">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, figure in enumerate(with_goal):
        top = 10 + number * STEP
        share = min(2.0, figure.value / (figure.goal or 1.0))
        label = f"{figure.name}: {figure.row[1]} ({figure.bound})"
        parts.append(f'<text x="{LEFT}" y="{top + 12}" fill="#222">{escape(label)}</text>')
        color = GOOD if figure.holds else BAD
        length = share * (middle - LEFT)
        parts.append(f'<rect x="{LEFT}" y="{top + 17}" width="{length:.0f}" height="{BAR}" fill="{color}"/>')
    parts.append(f'<path d="M{middle:.0f} 6V{height - 6}" stroke="{NONE}" stroke-dasharray="4 3"/></svg>')
    return "\n".join(parts) + "\n"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
