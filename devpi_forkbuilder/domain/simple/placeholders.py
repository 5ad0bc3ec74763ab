"""The placeholder: a wheel that is listed but not there, so that an installer says why a build failed.

pip and uv print the reason phrase of the answer to their download, and neither retries a 4xx nor falls back to
another file once they have chosen one. Only a page error would be lost (measured with pip 22.0, 23.2, 26.3, uv 0.13).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from devpi_forkbuilder.domain import versions
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.simple.offline import NOT_CACHED, absent_fork

TAGS = "py2.py3-none-any"
STAGE = re.compile(r"[a-z][a-z-]*")
BUSY = "busy"
CACHED_ONLY = "not-built"
NO_INTERPRETER = "no-interpreter"
WAITING = "still-building"
STOPPED = "server-stopped"


@dataclass(frozen=True, slots=True)
class Placeholder:
    """What stands on the page of index `user/name` for a pin that has no file.

    `release` is the version that it is known to have when it was built for others.
    """

    index: str
    pin: Pin
    stage: str
    commit_time: int | None = None
    release: Version | None = None

    @property
    def version(self) -> Version:
        """A version that outranks a public file of the pinned version."""
        return versions.placeholder(self.release or self.pin.release, self.pin.commit, self.commit_time)

    @property
    def filename(self) -> str:
        """A wheel's file name that fits every client."""
        return f"{self.pin.name.replace('-', '_')}-{self.version}-{TAGS}.whl"

    @property
    def path(self) -> str:
        """Its path below the server's root."""
        return f"/{self.index}/+forks/{self.pin.name}/{self.pin.commit}/failed/{self.stage}/{self.filename}"


def is_placeholder_of(filename: str, pin: Pin) -> bool:
    """Whether the name of a placeholder is of the version that `pin` names."""
    try:
        version = parse_wheel_filename(filename)[1]
    except InvalidWheelFilename:
        return False
    release = pin.release
    return release is not None and (version if release.local else Version(version.public)) == release


def phrase(
    pin: Pin, stage: str, log_url: str, *, client: str = "", offer: str = "", seconds: int = 0, cause: str = ""
) -> str:
    """The reason phrase of the placeholder's download, in one line of ASCII.

    `seconds` says when to ask a busy server again; `client` is what the client runs and `offer` what the server builds
    for, each as a phrase; `cause` is the short cause of a failure, see `causes`.
    """
    version = f" {pin.version}" if pin.version is not None else ""
    name = f"{pin.project}{version}"
    if stage == NOT_CACHED:
        return absent_fork(f"{name} from {pin.commit7}")
    if stage == CACHED_ONLY:
        text = f"{name} from {pin.commit7} is not built, and this URL or server never builds"
    elif stage == NO_INTERPRETER:
        text = f"{name} from {pin.commit7} has no file for {client or 'this client'}: this server builds for {offer}"
    elif stage == BUSY:
        when = f" in {seconds} seconds" if seconds else ""
        text = f"Build of {name} from {pin.commit7}: busy, ask again{when}: see {log_url}"
    elif stage == WAITING:
        text = f"Build of {name} from {pin.commit7} did not end in time ({stage}): the build runs; watch: {log_url}"
    elif stage == STOPPED:
        text = f"Build of {name} from {pin.commit7} did not end in time ({stage}), ask again: see {log_url}"
    else:
        text = f"Build of {name} from {pin.commit7} failed ({stage}): {cause and cause + '; '}see {log_url}"
    return re.sub(r"[^\x20-\x7e]+", " ", text)[:500]
