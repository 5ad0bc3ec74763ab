"""`Pipfile.lock` (JSON): the packages with a `git` key, in every category."""

from __future__ import annotations

import json

from devpi_forkbuilder.domain.gitlines import Written, fragment
from devpi_forkbuilder.domain.locks.tables import Gathered, Table, table, word, words
from devpi_forkbuilder.domain.pins import Fault
from devpi_forkbuilder.domain.requirements import Requirements

META = "_meta"


def read_pipfilelock(text: str, name: str) -> Requirements:
    """The git requirements of a Pipfile lock."""
    gathered = Gathered(text, name)
    try:
        parsed = table(json.loads(text.removeprefix("\ufeff")))
    except (ValueError, RecursionError):
        return Requirements(faults=(Fault(1, "", "not a JSON file", "write it again with 'pipenv lock'", name),))
    for category, packages in parsed.items():
        for project, entry in table(packages).items() if category != META else ():
            if word(table(entry).get("git")) is not None:
                _take(gathered, project, table(entry))
    return gathered.done()


def _take(gathered: Gathered, project: str, entry: Table) -> None:
    url = word(entry.get("git")) or ""
    version = (word(entry.get("version")) or "").removeprefix("==")
    written = Written(
        location=url,
        ref=word(entry.get("ref")),
        fragment=fragment(project, version, word(entry.get("subdirectory"))),
        extras=words(entry.get("extras")),
        marker=word(entry.get("markers")),
        editable=entry.get("editable") is True,
    )
    gathered.take(written, gathered.place(f"{project}: git {url}", f'"{project}": {{', project))
