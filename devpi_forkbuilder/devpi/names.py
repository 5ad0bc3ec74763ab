"""The names that devpi-server 6 and 7 give to the same things.

devpi-server 7 split `model` into modules, calls mirrors "remote" and private stages "local", and replaced
`mirror_whitelist` by inheritance rules. Where more than a name differs, the module that uses it asks SEVEN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from typing import Any

from devpi_server import main

SEVEN = find_spec("devpi_server.mirror") is None
"""Whether this is devpi-server 7."""

if SEVEN:
    from devpi_server.model.config import ConfigField
    from devpi_server.model.customizer import BaseIndexCustomizer as IndexCustomizer
    from devpi_server.model.exceptions import UpstreamError, UpstreamNotFoundError
    from devpi_server.model.links import Rel
    from devpi_server.model.remote import RemoteIndex as MirrorStage
else:
    from devpi_server.mirror import MirrorStage
    from devpi_server.model import BaseStageCustomizer as IndexCustomizer
    from devpi_server.model import Rel, UpstreamError, UpstreamNotFoundError

__all__ = [
    "MIRROR",
    "PRIVATE",
    "PUBLIC_URL",
    "SEVEN",
    "IndexCustomizer",
    "MirrorStage",
    "Rel",
    "UpstreamError",
    "UpstreamNotFoundError",
    "config_fields",
    "has_core_metadata",
    "is_mirror",
    "lets_mirrors_in",
    "mirror_setting",
    "mirrored_url",
    "read_url",
]

MIRROR, PRIVATE = ("remote", "local") if SEVEN else ("mirror", "stage")
"""The index types of devpi itself."""


def is_mirror(stage: Any) -> bool:
    """Return whether a stage's files come from another index."""
    return bool(stage.ixconfig["type"] == MIRROR)


def mirror_setting(name: str) -> str:
    """Return the key of a mirror's setting: `url`, `no_project_list`, `use_external_urls` or `cache_expiry`."""
    if SEVEN:
        return "remote_refresh_delay" if name == "cache_expiry" else f"remote_{name}"
    return f"mirror_{name}"


def mirrored_url(stage: Any) -> str:
    """Return the URL of the index whose files a mirror has, as it is set; empty when it is not."""
    return str(stage.ixconfig.get(mirror_setting("url"), ""))


def read_url(stage: Any) -> str:
    """Return the URL that a mirror reads, without user info; on a replica its primary's."""
    url = stage.remote_url if SEVEN else stage.mirror_url
    return str(url.replace(username=None, password=None).url)


PUBLIC_URL = str(main._pypi_ixconfig_default[mirror_setting("url")])
"""The public index as devpi names it."""


def config_fields(defaults: Iterable[tuple[str, object]], normalize: Callable[[str, object], object]) -> list[Any]:
    """Return the settings of an index type as devpi-server 7 wants them described."""
    return [
        ConfigField(name=name, default=default, normalize=partial(normalize, name), type=type(default))
        for name, default in defaults
    ]


def lets_mirrors_in(stage: Any, project: str) -> bool:
    """Return whether a private stage shows files of mirrors beside its own of `project` (normalized name)."""
    if not SEVEN:
        return bool({"*", project} & set(stage.ixconfig.get("mirror_whitelist") or ()))
    rules = stage.ixconfig.get("project_inheritance_rules") or ()
    return "allow all" in rules or "allow all" in (stage.get_projectconfig(project).get("inheritance_rules") or ())


def has_core_metadata(config: Any) -> bool:
    """Return whether devpi serves the metadata of wheels (PEP 658): version 7 always does."""
    return SEVEN or bool(config.args.enable_core_metadata)
