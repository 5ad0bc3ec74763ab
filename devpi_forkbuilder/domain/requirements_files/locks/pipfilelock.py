"""`Pipfile.lock` (JSON): the packages with a `git` key or the URL of a git host's archive, in every category."""

from __future__ import annotations

import json

from devpi_forkbuilder.domain.pins.pins import Fault
from devpi_forkbuilder.domain.requirements_files.gitlines import Written, fragment
from devpi_forkbuilder.domain.requirements_files.locks.tables import Gathered, Table, location, table, word, words
from devpi_forkbuilder.domain.requirements_files.requirements import Requirements

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
            url = location(table(entry).get("git"), table(entry).get("file"))
            if url is not None:
                _take(gathered, project, table(entry), url)
    return gathered.done()


def _take(gathered: Gathered, project: str, entry: Table, url: str) -> None:
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
