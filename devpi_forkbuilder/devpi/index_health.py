"""Asks the mirrors behind an index directly for what a build requires: devpi hides their failures behind a 404.

`op_sro_check_mirror_whitelist` swallows a mirror's UpstreamError, so the page of an index whose mirror answers 502 says
that the project does not exist (devpi-server 6.20.3, `model.py`); and a mirror remembers a 404 for its cache expiry.
"""

from __future__ import annotations

import email.parser
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from packaging.specifiers import SpecifierSet

from devpi_forkbuilder.devpi.names import PUBLIC_URL, is_mirror, read_url
from devpi_forkbuilder.devpi.settings import is_forkbuilder, settings_of
from devpi_forkbuilder.domain.compat.requirement_closure import RequirementClosure
from devpi_forkbuilder.domain.index_health import IndexHealth, fitting_wheels, portable, python_allows, specifiers
from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.pins.pins import redacted
from devpi_forkbuilder.domain.simple.simplepage import ACCEPT, ListedFile, read_page

MOST = 30
"""How many projects are asked for."""
LARGEST = 16 * 1024 * 1024
"""Bytes of a wheel that is fetched to see whether it is whole."""
SECONDS = 15.0
SHOWN = 160


class UnhealthyError(Exception):
    """An index does not give what it should; the text is a sentence that names it."""


@dataclass(frozen=True, slots=True)
class _Index:
    """An index on another server. `forget` ends the time for which devpi takes its last answer on a project
    as good: it remembers missing projects, and pages of others without links."""

    url: str
    get: Callable[..., Any]
    forget: Callable[[str], None]

    @property
    def name(self) -> str:
        return redacted(self.url)

    def files(self, project: str) -> tuple[ListedFile, ...]:
        """The files of `project`, none when it does not exist. Raises UnhealthyError."""
        url = f"{self.url.rstrip('/')}/{project}/"
        answer = self._asked(url, f"for {project}")
        if answer.status_code == 404:
            return ()
        try:
            found = read_page(answer.content, answer.headers.get("content-type", ""), url)
        except ValueError as error:
            raise UnhealthyError(f"The index {self.name} answered no index page for {project}.") from error
        if not found:
            raise UnhealthyError(f"The index {self.name} answered a page without files for {project}.")
        self.forget(project)
        return found

    def content(self, file: ListedFile) -> bytes:
        """The bytes of `file`. Raises UnhealthyError when they are not what the index says they are."""
        answer = self._asked(file.url, f"for {file.filename}")
        whole = answer.status_code == 200 and zipfile.is_zipfile(io.BytesIO(answer.content))
        if not whole or (file.sha256 and hashlib.sha256(answer.content).hexdigest() != file.sha256):
            raise UnhealthyError(f"The index {self.name} gave {file.filename} damaged or cut short.")
        return bytes(answer.content)

    def _asked(self, url: str, what: str) -> Any:
        answer = self.get(url, allow_redirects=True, timeout=SECONDS, extra_headers={"Accept": ACCEPT})
        if answer.status_code < 0:
            raise UnhealthyError(f"The index {self.name} could not be reached {what}: {_said(answer)}.")
        if answer.status_code not in {200, 404}:
            raise UnhealthyError(f"The index {self.name} answered {answer.status_code} {what}.")
        return answer


def index_health(
    xom: Any, order: Order, requirements: tuple[str, ...], constraints: tuple[str, ...], environment: dict[str, str]
) -> IndexHealth:
    """Ask the public indexes of `order` for `requirements` and what these require in turn.

    `environment` has the markers' variables of the interpreter. Must not be called in a transaction.
    """
    with xom.keyfs.read_transaction():
        stage = xom.model.getstage(order.index)
        indexes = list(_indexes(xom, stage))
        own = _own_projects(stage)
    held, unmet = specifiers(constraints), []
    wanted = RequirementClosure(requirements, environment)
    try:
        for _ in range(MOST):
            name = wanted.next()
            if name is None:
                break
            if name not in own and not _look(indexes, name, wanted, held.get(name, SpecifierSet()), environment):
                unmet.append(name)
    except UnhealthyError as error:
        return IndexHealth(fault=str(error))
    return IndexHealth(unmet=tuple(unmet))


def _look(
    indexes: list[_Index], name: str, wanted: RequirementClosure, constraint: SpecifierSet, environment: dict[str, str]
) -> bool:
    """Whether some index has a fitting wheel of `name`; what the newest one requires is wanted next."""
    for index in indexes:
        files = index.files(name)
        usable = [file for file in files if python_allows(file, environment)]
        wheels = fitting_wheels(usable, wanted.specifier(name) & constraint)
        if wheels:
            if portable(wheels[0]):
                wanted.add(_requires(index.content(wheels[0])))
            return True
    return False


def _requires(wheel: bytes) -> list[str]:
    if len(wheel) > LARGEST:
        return []
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        names = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        if not names or archive.getinfo(names[0]).file_size > LARGEST:
            return []
        return email.parser.BytesParser().parsebytes(archive.read(names[0])).get_all("Requires-Dist") or []


def _own_projects(stage: Any) -> set[str]:
    """Names that are pinned or uploaded here: public indexes are not asked for them, and do not learn of them."""
    local = [base for base in (stage.sro() if stage is not None else ()) if not is_mirror(base)]
    pinned = {name for base in local if is_forkbuilder(base) for name in settings_of(base).projects}
    return pinned.union(*(base.list_projects_perstage() for base in local))


def _indexes(xom: Any, stage: Any) -> Iterator[_Index]:
    mirrors = [base for base in (stage.sro() if stage is not None else ()) if is_mirror(base)]
    for mirror in mirrors:
        yield _Index(read_url(mirror), mirror.http.get, partial(_forget, mirror))
    if not mirrors:
        yield _Index(PUBLIC_URL, xom.http.get, lambda _project: None)


def _forget(mirror: Any, project: str) -> None:
    mirror.cache_retrieve_times.expire(project)
    if project not in mirror.cache_projectnames.get():
        mirror.cache_projectnames.expire()


def _said(answer: Any) -> str:
    text = "".join(char for char in str(answer.reason_phrase) if char.isprintable() and char.isascii())
    return text[:SHOWN]
