"""The names of the scripts that installers make from a wheel's `entry_points.txt`.

Installers put such a name behind the path of the environment's `bin`, so it must not be a path of its own. Format:
packaging.python.org, "Entry points specification", which recommends letters, digits, `-`, `_`, `.` and allows more.
"""

from __future__ import annotations

import re

from devpi_forkbuilder.pipeline.artifacts.fault_list import Faults, shown_values

SECTIONS = ("console_scripts", "gui_scripts")
NAME = re.compile(r"[^\s/\\:=\[][^/\\:=]*")
END = re.compile(r"\r\n|\r|\n")


def judge_script_names(data: bytes, faults: Faults) -> None:
    """Note each script whose name is a path, or has something in it that cannot be printed."""
    section = ""
    for line in END.split(data.decode("utf-8", "replace")):
        text = line.strip()
        if text.startswith("[") and text.endswith("]"):
            section = text[1:-1].strip()
        elif section in SECTIONS and text and not text.startswith(("#", ";")):
            name = text.partition("=")[0].strip()
            if not NAME.fullmatch(name) or not name.isprintable() or name in {".", ".."}:
                faults.add("script-name", f"entry_points.txt has a script with the name {shown_values(name)}")
