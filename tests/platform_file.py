"""The requirements file of a teaching platform, all forms in thirty lines, with the commits of made-up repositories."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

SAMPLES = Path(__file__).parent / "domain" / "samples"
FILES = ("platform.txt", "platform/base.txt", "platform/constraints.txt")
FIELD = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")
SPECIAL = frozenset({"host", "address", "short", "ENTERPRISE"})
HOST = "https://git.example.com"


def commit_names() -> tuple[str, ...]:
    """The repositories' names in the files, as fields."""
    found = (field for name in FILES for field in FIELD.findall(_template(name)))
    return tuple(dict.fromkeys([*(field for field in found if field not in SPECIAL), "enterprise", "proctoring"]))


def made_up_commits() -> dict[str, str]:
    """A commit id for each name, for tests that need no repository."""
    return {name: hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest() for name in commit_names()}


def platform_files(commits: Mapping[str, str], host: str = HOST) -> dict[str, str]:
    """The files' texts by their names; `host` is the URL below which the repositories are."""
    values = {**commits, "host": host, "address": host.partition("://")[2]}
    values |= {"ENTERPRISE": commits["enterprise"].upper(), "short": commits["proctoring"][:9]}
    scheme = urlsplit(host).scheme
    texts = {name: _template(name).replace("git+https://$", f"git+{scheme}://$") for name in FILES}
    return {name: text.format(**values) for name, text in texts.items()}


def _template(name: str) -> str:
    return (SAMPLES / name).read_text(encoding="utf-8")
