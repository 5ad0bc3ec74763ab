"""Calls one hook of a build back end (PEP 517) and writes its answer as JSON.

Run by a build environment's interpreter, which may be years older than the server's: standard library only, and
nothing newer than Python 3.6. Usage: `python hook.py HOOK BACKEND [FOLDER]...` in the project's folder, where FOLDERs
are its `backend-path`. The answer of `get_requires_for_build_...` is a list of requirements; that of
`prepare_metadata_for_build_wheel` is a list of name and version, empty for a back end without that hook. It is all that
is ever written to standard output; what the project prints goes to standard error.
"""

import importlib
import json
import os
import sys
import tempfile
from email.parser import HeaderParser
from pathlib import Path

METADATA_HOOK = "prepare_metadata_for_build_wheel"


def load(backend: str, folders: "list[str]") -> object:
    """The back end object. With `backend-path` it may not come from elsewhere (PEP 517, "In-tree build backends")."""
    sys.path[0:1] = folders  # in place of this file's folder, which does not concern the project
    module_name, _, attributes = backend.partition(":")
    module = importlib.import_module(module_name)
    origin = Path(getattr(module, "__file__", None) or "/").resolve()
    if folders and not any(Path(folder) in origin.parents for folder in folders):
        sys.exit("build-backend " + module_name + " is not in backend-path: it came from " + str(origin))
    found = module  # type: object
    for attribute in filter(None, attributes.split(".")):
        found = getattr(found, attribute)
    return found


def name_and_version(backend: object) -> "list[str]":
    """Return the name and the version in the metadata that the back end writes."""
    folder = Path(tempfile.mkdtemp())
    text = (folder / getattr(backend, METADATA_HOOK)(str(folder), None) / "METADATA").read_text(encoding="utf-8")
    headers = HeaderParser().parsestr(text)
    return [str(headers["Name"] or ""), str(headers["Version"] or "")]


def main(hook: str, backend: str, *folders: str) -> None:
    """Write what the hook answers; a back end without it answers with an empty list."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:  # a duplicate is not inherited by child processes
        os.dup2(2, 1)
        # Bytecode of what is installed is kept for the build itself; that of the project could get into its wheel.
        sys.dont_write_bytecode = bool(folders)
        found = load(backend, [str(Path(folder).resolve()) for folder in folders])
        sys.dont_write_bytecode = True
        asked = getattr(found, hook, None)
        asks = name_and_version if hook == METADATA_HOOK else None
        requirements = [] if asked is None else asks(found) if asks else list(asked(None))
        sys.stdout.flush()
        json.dump(requirements, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
