"""Forks whose builds attack: the in-tree back end of the other forks, with an attack in it."""

from __future__ import annotations

from tests.repositories import FORKS, Content

BACKEND = (FORKS / "_backend" / "inline_backend.py").read_text()
ATTEMPT = '''
import glob, shutil, signal, socket, stat

def attempt(action, *arguments):
    """What an attack got, or the error that it met."""
    try:
        return repr(action(*arguments))[:100_000]
    except BaseException as error:
        return type(error).__name__

def read(path):
    return Path(path).read_bytes()

def reported(folder, settings, report):
    print(json.dumps(report), flush=True)
    return write_wheel(folder, settings, **{"report.json": json.dumps(report)})
'''


def attacking(code: str) -> dict[str, Content]:
    """Files for a fork of the case `inline`; `code` defines `attack(folder, settings)`, which makes the wheel."""
    return {"inline_backend.py": f"{BACKEND}\n{ATTEMPT}\n{code}\nBEHAVIOURS['plain'] = attack\n"}


def reporting(attempts: str) -> dict[str, Content]:
    """The same for an attack that only collects: `attempts` is a dictionary of `attempt(...)`."""
    return attacking(f"def attack(folder, settings):\n    return reported(folder, settings, {attempts})\n")
