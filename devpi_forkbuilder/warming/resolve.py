"""Which releases requirements lead to for a target: real uv, with this index and no other."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devpi_forkbuilder.domain.compat.choice import WantedRelease
from devpi_forkbuilder.domain.compat.platforms import Target
from devpi_forkbuilder.domain.index_requirements import releases_of
from devpi_forkbuilder.domain.pins.pins import redacted
from devpi_forkbuilder.errors import ForkbuilderError
from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.process.runner import run_as_user
from devpi_forkbuilder.warming.protocols import NotFetchedError
from devpi_forkbuilder.warming.web import IndexUrl

TIMEOUT = 3600.0
"""Seconds; sources without metadata are built in order to know what they require."""
KEPT = ("UV_CACHE_DIR", "UV_HTTP_TIMEOUT", "UV_PYTHON_INSTALL_DIR", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS")
"""uv's own variables that do not change what it resolves; all others might name another index."""
OPTIONS = (
    *("--no-header", "--no-annotate", "--no-python-downloads", "--no-progress", "--color", "never"),
    *("--no-sources", "--no-emit-index-url"),
)
LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Text:
    """A requirements or constraints file for uv; `name` is shown to users."""

    name: str
    text: str
    constraint: bool = False


class Resolver:
    """Runs `uv pip compile`. `environ` is the user's: proxies, certificates and the cache of uv stay."""

    def __init__(self, uv: Path, index: IndexUrl, environ: Mapping[str, str]) -> None:
        self._uv = uv
        own = {key: value for key, value in environ.items() if not key.startswith("UV_") or key in KEPT}
        # in the environment, for user info must not be among a command's arguments
        self._env = {"UV_HTTP_TIMEOUT": "300", **own, "UV_DEFAULT_INDEX": index.with_auth, "UV_NO_CONFIG": "1"}
        self._index = index

    def releases(self, texts: Sequence[Text], target: Target) -> tuple[WantedRelease, ...]:
        """What the texts ask for and all that it requires. Raises NotHadError with what uv says."""
        if not any(text.text.strip() for text in texts if not text.constraint):
            return ()
        with tempfile.TemporaryDirectory(prefix="forkbuilder-warm-") as folder:
            return self._run(Path(folder), texts, target)

    def _run(self, folder: Path, texts: Sequence[Text], target: Target) -> tuple[WantedRelease, ...]:
        files: list[str] = []
        for number, text in enumerate(texts, 1):
            path = folder / f"{number}-{Path(text.name).name or 'requirements'}.txt"
            path.write_text(text.text, encoding="utf-8")
            files += ["--constraints", str(path)] if text.constraint else [str(path)]
        platform = ("--python-platform", target.platform) if target.platform else ()
        argv = (str(self._uv), "pip", "compile", *OPTIONS, "--python-version", target.python, *platform, *files)
        command = Command(argv, self._env, folder, TIMEOUT, "uv pip compile", capture=True)
        try:
            finished = run_as_user(command, cancelled=lambda: False)
        except ForkbuilderError as error:
            raise NotFetchedError(error.message) from None
        if finished.returncode:
            raise NotFetchedError(self._said(finished.tail, folder))
        return releases_of(finished.stdout.decode("utf-8", "replace"))

    def _said(self, errors: bytes, folder: Path) -> str:
        text = redacted_lines(errors.decode("utf-8", "replace").replace(f"{folder}/", ""))
        if self._index.auth is not None:
            text = text.replace(self._index.with_auth, self._index.pages)
        return " ".join(text.split())[-LONGEST:] or "uv ends without a word"


def redacted_lines(text: str) -> str:
    """`text` without user info in URLs."""
    return "\n".join(redacted(line) for line in text.splitlines())
