"""`Pipfile` (TOML): the packages with a `git` key or the URL of a git host's archive, in every category."""

from __future__ import annotations

from devpi_forkbuilder.domain.requirements_files.gitlines import Written, fragment
from devpi_forkbuilder.domain.requirements_files.locks.tables import Gathered, Table, location, table, toml, word, words
from devpi_forkbuilder.domain.requirements_files.requirements import Requirements

OTHERS = frozenset({"source", "requires", "pipenv", "scripts"})
"""Tables that hold no packages; all others are categories (pipenv's manual, "Specifying Package Categories")."""
MARKERS = ("python_version", "python_full_version", "sys_platform", "platform_machine", "os_name", "platform_system")


def read_pipfile(text: str, name: str) -> Requirements:
    """The git requirements of a Pipfile."""
    gathered = Gathered(text, name)
    for category, packages in toml(gathered).items():
        for project, entry in table(packages).items() if category not in OTHERS else ():
            url = location(table(entry).get("git"), table(entry).get("file"))
            if url is not None:
                _take(gathered, project, table(entry), url)
    return gathered.done()


def _take(gathered: Gathered, project: str, entry: Table, url: str) -> None:
    written = Written(
        location=url,
        ref=word(entry.get("ref")),
        fragment=fragment(project, (word(entry.get("version")) or "").removeprefix("==").strip("*"), _folder(entry)),
        extras=words(entry.get("extras")),
        marker=_marker(entry),
        editable=entry.get("editable") is True,
    )
    gathered.take(written, gathered.place(f"{project}: git {url}", f"{project} = ", f'"{project}" = ', url))


def _folder(entry: Table) -> str | None:
    return word(entry.get("subdirectory"))


def _marker(entry: Table) -> str | None:
    """`markers`, and the markers that pipenv takes as keys of their own."""
    single = [f"{key} {value}" for key in MARKERS if (value := word(entry.get(key)))]
    return " and ".join([*([f"({markers})"] if (markers := word(entry.get("markers"))) else []), *single]) or None
