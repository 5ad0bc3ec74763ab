"""The requirements file of a teaching platform, all forms in thirty lines, and the repositories that it names."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from tests.repositories import FORKS, Content, Repositories

SAMPLES = Path(__file__).parent / "domain" / "samples"
FILES = ("platform.txt", "platform/base.txt", "platform/constraints.txt")
REPOSITORY = re.compile(r"\{(?:host|address)\}/(?P<name>[\w./-]+?)(?:\.git\b|/archive/)")
HOST = "https://git.example.com"
TAG = "v1.0.2"
MONOREPO = {"nested": "packages/nested", "safe": "packages/safe"}
"""Projects of the repository `monorepo`, and their folders."""
TWICE = "lti-consumer"
"""The project of which two commits are named."""
ENVIRON = {"GIT_USER": "u", "GIT_TOKEN": "t"}
"""What the file takes from the environment."""


def repository_names() -> tuple[str, ...]:
    """The repositories that the files name, as paths below the host."""
    return tuple(dict.fromkeys(name for file in FILES for name in REPOSITORY.findall(_template(file))))


def made_up_commits() -> dict[str, str]:
    """A commit id for each field of the files, for tests that need no repository."""
    fields = [*(_field(name) for name in repository_names()), "lti_old", "lti_new"]
    return {name: hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest() for name in fields}


def make_platform(repositories: Repositories) -> dict[str, str]:
    """Make the repositories, each with a tag and with its project's name in `setup.cfg`; the commits by field."""
    commits = {}
    for name in repository_names():
        project = name.rpartition("/")[2]
        parts = MONOREPO if project == "monorepo" else {project: ""}
        version = "1.0.1" if project == TWICE else "1.0.2"
        repository = repositories.empty(name)
        for part, folder in parts.items():
            repositories.commit(repository, project_files(part, version, folder))
        if project == TWICE:
            commits["lti_old"] = repository.commit
            commits["lti_new"] = repositories.commit(repository, project_files(project, "1.0.2"))
        repositories.tag(repository, TAG, annotated=project == "staticfiles")
        commits[_field(name)] = repository.commit
    return commits


def project_files(project: str, version: str, folder: str = "", behaviour: str = "plain") -> dict[str, Content]:
    """A project that builds itself, in a folder of a repository."""
    prefix = f"{folder}/" if folder else ""
    module = f"{project.replace('-', '_')}.py"
    inline = {"name": project, "version": version, "modules": [module], "behaviour": behaviour}
    return {
        f"{prefix}inline.json": json.dumps(inline),
        f"{prefix}{module}": f"VERSION = {version!r}\n",
        f"{prefix}setup.cfg": f"[metadata]\nname = {project}\nversion = {version}\n",
        **{f"{prefix}{path.name}": path.read_bytes() for path in (FORKS / "_backend").iterdir() if path.is_file()},
    }


def platform_files(commits: Mapping[str, str], host: str = HOST) -> dict[str, str]:
    """The files' texts by their names; `host` is the URL below which the repositories are."""
    scheme, _, address = host.partition("://")
    values = {**commits, "host": host, "address": address}
    values |= {"ENTERPRISE": commits["enterprise"].upper(), "short": commits["proctoring"][:9]}
    return {name: _template(name).replace("git+https:", f"git+{scheme}:").format(**values) for name in FILES}


def _field(name: str) -> str:
    return name.rpartition("/")[2].replace("-", "_")


def _template(name: str) -> str:
    return (SAMPLES / name).read_text(encoding="utf-8")
