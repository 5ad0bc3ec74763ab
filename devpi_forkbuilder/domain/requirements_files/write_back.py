"""A requirements file with what was resolved: tags and branches as commits, names where there were none."""

from __future__ import annotations

import re
from collections.abc import Mapping

from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine
from devpi_forkbuilder.domain.requirements_files.gitsyntax import OPTIONS
from devpi_forkbuilder.domain.requirements_files.requirements import RequirementsFile


def written_back(file: RequirementsFile, resolved: Mapping[GitLine, GitLine]) -> str:
    """The file's text; `resolved` has, for a git line, the same one with name, commit and perhaps version.

    Only the ref changes where that is enough. A tag or branch is kept in a comment, if there is none yet.
    """
    text, pieces, end = str(file), [], 0
    for line in file.git_lines:
        begin, after = line.place.span
        pieces += [text[end:begin], _written(line, resolved.get(line, line), text[begin:after])]
        end = after
    return "".join([*pieces, text[end:]])


def _written(line: GitLine, found: GitLine, raw: str) -> str:
    if (found.commit, found.name, found.version) == (line.commit, line.name, line.version):
        return raw
    remark = f"  # {line.ref}" if line.commit is None and line.ref and not line.comment else ""
    if found.version == line.version and not line.nameless and line.ref:
        changed, count = re.subn(rf"@{re.escape(line.ref)}(?=[#;\s\"']|$)", f"@{found.commit}", raw)
        if count == 1:
            return changed + remark
    options = OPTIONS.search(line.place.text.partition("+")[2])
    return f"{_canonical(found)}{options[0] if options else ''}{remark}"


def _canonical(line: GitLine) -> str:
    """`NAME[EXTRAS] @ git+URL@COMMIT`; in the form of a pin where only that can name a version."""
    url, marker = f"git+{line.url}@{line.commit}", f" ; {line.marker}" if line.marker else ""
    folder = f"subdirectory={line.subdirectory}" if line.subdirectory else ""
    extras = f"[{','.join(line.extras)}]" if line.extras else ""
    if line.version:
        egg = f"egg={line.project}{extras}=={line.version}"
        return f"{url}#{'&'.join(part for part in (egg, folder) if part)}{marker}"
    return f"{line.project}{extras} @ {url}{'#' if folder else ''}{folder}{marker}"
