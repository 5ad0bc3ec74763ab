"""Telling version-from-tags back ends the version when the commit has no tag to take it from.

Two ways are gone at once: variables, which the larger tools know, and tags in the build's own copy of the
repository, for versioneer and others that know none. Nothing of the fork itself changes.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.pipeline.checkout import scm_version
from devpi_forkbuilder.pipeline.git.client import Git
from devpi_forkbuilder.pipeline.process.watch import TransferWatch

PREFIX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]{0,99}")
USUAL = ("", "v")
"""What projects put in front of the version in a tag."""


def pretend_version(pin: Pin, version: str) -> tuple[tuple[str, str], ...]:
    """Environment variables by which back ends of `pin` take `version` for the tag's.

    They are those of setuptools-scm (hatch-vcs and flit-scm are built on it), pbr, pdm-backend and
    poetry-dynamic-versioning, as their manuals name them; versioneer knows none (its issue 199).
    """
    name = re.sub(r"[^A-Z0-9]", "_", pin.name.upper())
    variables = (
        f"SETUPTOOLS_SCM_PRETEND_VERSION_FOR_{name}",
        "SETUPTOOLS_SCM_PRETEND_VERSION",
        "PBR_VERSION",
        "PDM_BUILD_SCM_VERSION",
        "POETRY_DYNAMIC_VERSIONING_BYPASS",
    )
    return tuple((variable, version) for variable in variables)


def pretend_tags(project: Path, version: str) -> tuple[str, ...]:
    """The tags that would say `version` of the project in the folder `project`."""
    files = {}
    for name in scm_version.FILES:
        with contextlib.suppress(OSError):
            files[name] = (project / name).read_bytes()
    prefix = scm_version.tag_prefix(files)
    prefixes = (*USUAL, prefix) if PREFIX.fullmatch(prefix) else USUAL
    return tuple(dict.fromkeys(f"{prefix}{version}" for prefix in prefixes))


def place_tags(git: Git, root: Path, tags: Iterable[str], watch: TransferWatch) -> None:
    """Give the commit that is checked out in `root` these tags; a name that git does not take is left out."""
    for tag in tags:
        git.local(root, "update-ref", f"refs/tags/{tag}", "HEAD", watch=watch)
