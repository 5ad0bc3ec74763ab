"""Telling version-from-tags back ends the version when the commit has no tag to take it from."""

from __future__ import annotations

import re

from devpi_forkbuilder.domain.pins import Pin


def told_version(pin: Pin, version: str | None) -> tuple[tuple[str, str], ...]:
    """Environment variables by which back ends of `pin` take `version` for the tag's; none when there is none.

    They are those of setuptools-scm (hatch-vcs and flit-scm are built on it), pbr, pdm-backend and
    poetry-dynamic-versioning, as their manuals name them; versioneer knows none.
    """
    if version is None:
        return ()
    name = re.sub(r"[^A-Z0-9]", "_", pin.name.upper())
    variables = (
        f"SETUPTOOLS_SCM_PRETEND_VERSION_FOR_{name}",
        "SETUPTOOLS_SCM_PRETEND_VERSION",
        "PBR_VERSION",
        "PDM_BUILD_SCM_VERSION",
        "POETRY_DYNAMIC_VERSIONING_BYPASS",
    )
    return tuple((variable, version) for variable in variables)
