"""The newest tag of a pinned project's repository, as a requirement."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from devpi_forkbuilder.client.models import Selector, require
from devpi_forkbuilder.client.parallel import in_parallel
from devpi_forkbuilder.client.ref_names import PEELED, Refs
from devpi_forkbuilder.client.resolve_refs import Ask, repository_unreachable
from devpi_forkbuilder.domain.pins.pins import Fault, Pin
from devpi_forkbuilder.domain.pins.urls import Problem
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine, LinePlace
from devpi_forkbuilder.domain.requirements_files.requirements import Requirements
from devpi_forkbuilder.errors import ForkbuilderError

TAGS = "refs/tags/"
UPGRADE = "--upgrade"
"""What stands for the file's name where a project is upgraded."""


def upgrades(pins: Sequence[Pin], names: Iterable[str], ask: Ask) -> Requirements:
    """Each pin that `names` mean, as a requirement at the newest tag of its repository; a fault where there is none.

    Raises ClientError for names that are not pinned.
    """
    selectors = [Selector.parse(name) for name in names]
    require([(pin.name, pin.version) for pin in pins], selectors)
    meant = [pin for pin in pins if any(one.means(pin.name, pin.version) for one in selectors)]
    found = in_parallel(meant, lambda pin, cancelled: _upgrade(pin, ask, cancelled))
    return Requirements(
        tuple(one for one in found if isinstance(one, GitLine)),
        tuple(fault for one in found if not isinstance(one, GitLine) for fault in one),
    )


def newest_tag(refs: Refs, project: str) -> tuple[str, Version] | None:
    """The tag of the highest version, and that version; pre-releases count only where there is nothing else.

    `1.0`, `v1.0`, `NAME-1.0` and `NAME/v1.0` are versions; any other word before the number is another project's.
    """
    names = {name.removeprefix(TAGS).removesuffix(PEELED) for name in refs if name.startswith(TAGS)}
    known = [(name, version) for name in names if (version := _version_of(name, project)) is not None]
    released = [(name, version) for name, version in known if not version.is_prerelease]
    return max(released or known, key=lambda one: (one[1], one[0]), default=None)


def _version_of(tag: str, project: str) -> Version | None:
    prefix, _, number = tag.rpartition("/") if "/" in tag else tag.rpartition("-")
    if prefix and canonicalize_name(prefix) not in {canonicalize_name(project), "release", "version", "v"}:
        number = tag  # `1.0-1` is a version, too
    try:
        return Version(re.sub(r"^v(?=\d)", "", number))
    except InvalidVersion:
        return None


def _upgrade(pin: Pin, ask: Ask, cancelled: Callable[[], bool]) -> GitLine | tuple[Fault, ...]:
    place = LinePlace(UPGRADE, 0, 0, pin.project)
    try:
        refs = ask(pin.url, (f"{TAGS}*",), cancelled=cancelled)
    except ForkbuilderError as error:
        return place.faults([repository_unreachable(pin.url, error)])
    newest = newest_tag(refs, pin.project)
    if newest is None:
        problem: Problem = (f"no tag of {pin.url} is a version", "name the commit or tag: devpi forks pin git+URL@REF")
        return place.faults([problem])
    tag, version = newest
    # the pinned version moves along; a pin without one stays without
    pinned = str(version) if pin.version is not None else None
    return GitLine(pin.project, pin.url, f"{TAGS}{tag}", pinned, pin.subdirectory, place=place)
