"""A git checkout on this machine as a pin of its HEAD."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.requirements_files.project_identity import FILES, identity
from devpi_forkbuilder.errors import RefusedError
from devpi_forkbuilder.pipeline.git.client import Git
from devpi_forkbuilder.pipeline.process.command import Finished
from devpi_forkbuilder.pipeline.process.watch import TransferWatch


@dataclass(frozen=True, slots=True)
class LocalCheckout:
    """`pin` is HEAD; `changed`: files that git knows differ from HEAD, which is not what is pinned then."""

    pin: Pin
    changed: bool

    @property
    def prefix(self) -> str:
        """The URL that the server has to allow."""
        return self.pin.url


def read_checkout(folder: Path, git: Git, watch: TransferWatch) -> LocalCheckout:
    """Return the checkout that `folder` is, or is in: then it is a subdirectory of the pinned repository.

    Its files are taken from HEAD, not from the disk. The repository may belong to another user, be shallow, a linked
    worktree, or on no branch. Raises RefusedError (`checkout-missing`, `checkout-empty`, `checkout-unnamed`) and what
    running git raises.
    """
    if not folder.is_dir():
        raise _missing(folder, "is not a folder")
    reader = _Reader(folder, git, watch)
    top, prefix = reader.place()
    commit = reader.head()
    folder_inside = prefix.strip("/")
    name = identity(reader.files(folder_inside)).name
    if name is None:
        raise RefusedError(
            "checkout-unnamed",
            f"The build files in {folder} do not say what the project is called (at its HEAD, {commit[:7]}).",
            next_step="Write the line into a file, and use -r FILE: "
            f"git+{_url(top)}@{commit}#egg=NAME{f'&subdirectory={folder_inside}' if folder_inside else ''}",
        )
    pin = Pin(name, _url(top), commit, subdirectory=str(PurePosixPath(folder_inside)) if folder_inside else None)
    return LocalCheckout(pin, changed=reader.is_changed())


class _Reader:
    """Asks git about one folder."""

    def __init__(self, folder: Path, git: Git, watch: TransferWatch) -> None:
        self._folder = folder
        self._git = git
        self._watch = watch

    def place(self) -> tuple[Path, str]:
        """The folder that the checkout begins at, and the path from there."""
        found = self._ask("rev-parse", "--show-toplevel", "--show-prefix")
        lines = found.stdout.decode("utf-8", "surrogateescape").split("\n")
        if found.returncode or not lines[0]:
            raise _missing(self._folder, "is not in a git checkout")
        return Path(lines[0]), lines[1]

    def head(self) -> str:
        """The commit of HEAD."""
        found = self._ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        if found.returncode:
            what = f"The repository of {self._folder} has no commit yet."
            raise RefusedError("checkout-empty", what, next_step="Commit what is to be built: git add . && git commit")
        return found.stdout.decode("ascii").strip()

    def files(self, folder: str) -> dict[str, str]:
        """Those of FILES that HEAD has in `folder`."""
        names = {name: f"HEAD:{folder}/{name}" if folder else f"HEAD:{name}" for name in FILES}
        shown = {name: self._ask("cat-file", "blob", where) for name, where in names.items()}
        return {name: found.stdout.decode("utf-8", "replace") for name, found in shown.items() if not found.returncode}

    def is_changed(self) -> bool:
        """Whether files that git knows are not as in HEAD."""
        return bool(self._ask("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all").stdout)

    def _ask(self, *arguments: str) -> Finished:
        return self._git.local(self._folder, *arguments, watch=self._watch, any_owner=True)


def _url(top: Path) -> str:
    return f"file://{quote(str(top))}"


def _missing(folder: Path, what: str) -> RefusedError:
    return RefusedError(
        "checkout-missing",
        f"{folder} {what}.",
        next_step="Name a folder that git cloned, as in: devpi-forkbuilder up .  (a requirements file goes behind -r)",
    )
