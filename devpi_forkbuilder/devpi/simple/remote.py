"""The core metadata (PEP 658) of a mirror's wheel that is not here, without fetching the wheel.

As upstream announces it; else read from the wheel by HTTP ranges; on a replica from its primary. Kept once read.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from devpi_common.url import URL

from devpi_forkbuilder.devpi.names import SEVEN, has_core_metadata, is_mirror
from devpi_forkbuilder.devpi.simple.catalog import Catalog
from devpi_forkbuilder.devpi.simple.ranged_file import (
    LARGEST,
    RangedFile,
    RangesRefusedError,
    RemoteFilePart,
    read_remote_metadata,
)
from devpi_forkbuilder.domain.simple.file_facts import FileFacts
from devpi_forkbuilder.errors import InfrastructureError

log = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds for one answer of a primary, which may have to ask its upstream."""
FOUND, PART = 200, 206
LACKING = frozenset({401, 403, 404, 405, 406, 410, 451})
HEADER = b"metadata-version:"


@dataclass(frozen=True, slots=True)
class RemoteWheel:
    """A mirror's wheel that is known but not here. `announced` as in `FileFacts.core_metadata`."""

    stage: Any
    key: str
    path: str
    url: str
    project: str
    filename: str
    announced: str | None


class RemoteMetadata:
    """Finds and reads it. May be used by several threads."""

    def __init__(self, xom: Any, catalog: Catalog) -> None:
        self._xom = xom
        self._catalog = catalog

    def find(self, path: str) -> RemoteWheel | None:
        """The wheel at `path` (`USER/INDEX/+f/...`), if its metadata cannot come from devpi. Needs a transaction."""
        if not has_core_metadata(self._xom.config) or not path.endswith(".whl"):
            return None
        user, index, _ = path.split("/", 2)
        stage = self._xom.model.getstage(user, index)
        if stage is None or not is_mirror(stage):
            return None
        entry = self._xom.filestore.get_file_entry(path)
        if entry is None or not entry.meta or not entry.url or entry.file_exists():
            return None
        facts = self._facts(stage.name, entry)
        announced = facts.core_metadata if facts is not None else None
        hashed = f"{path}#{_hash_spec(entry)}"
        return RemoteWheel(stage, hashed, path, entry.url, str(entry.project), entry.basename, announced)

    def get(self, wheel: RemoteWheel) -> bytes | None:
        """Its metadata; None when only the whole wheel has it. Raises InfrastructureError when upstream is silent."""
        content = self._catalog.store.metadata(wheel.key)
        if content is None and not self._xom.config.args.offline_mode:
            content = self._asked(wheel)
            if content is not None:
                self._catalog.store.set_metadata(wheel.key, content)
        return content

    def _facts(self, index: str, entry: Any) -> FileFacts | None:
        page = self._catalog.store.page((index, str(entry.project)))
        kind, _, value = _hash_spec(entry).partition("=")
        return page.of(entry.basename, value if kind == "sha256" else "") if page is not None else None

    def _asked(self, wheel: RemoteWheel) -> bytes | None:
        if self._xom.is_replica():
            try:
                return self._from_primary(wheel)
            except InfrastructureError as error:
                log.info("the primary gives no metadata of %s, so upstream is asked: %s", wheel.filename, error.what)
        return self._from_upstream(wheel)

    def _from_primary(self, wheel: RemoteWheel) -> bytes | None:
        url = self._xom.config.primary_url.joinpath(f"{wheel.path}.metadata")
        return self._whole(wheel, url.url)

    def _from_upstream(self, wheel: RemoteWheel) -> bytes | None:
        """The announced file if it is what was announced; else what is in the wheel, which is what counts."""
        content = None
        if wheel.announced is not None:
            url = URL(wheel.url)
            content = self._whole(wheel, url.replace(path=f"{url.path}.metadata").url)
            if content is not None and wheel.announced in {"", hashlib.sha256(content).hexdigest()}:
                return content
            log.warning("the metadata that upstream announces for %s is not there: reading the wheel", wheel.filename)
        inside = self._by_ranges(wheel)
        if inside is not None and wheel.announced and wheel.announced != hashlib.sha256(inside).hexdigest():
            self._catalog.store.retract((wheel.stage.name, wheel.project), wheel.filename, wheel.announced)
        return inside

    def _whole(self, wheel: RemoteWheel, url: str) -> bytes | None:
        """The metadata file at `url`; None if there is none. Raises InfrastructureError."""
        with ExitStack() as stack:
            response = wheel.stage.http.stream(stack, "GET", url, allow_redirects=True, timeout=PATIENCE)
            if response.status_code != FOUND:
                _judge(response, url)
                return None
            content = _at_most(response, url)
        return content if content is not None and HEADER in content[:4096].lower() else None

    def _by_ranges(self, wheel: RemoteWheel) -> bytes | None:
        """The metadata in the wheel; None where upstream has no ranges, or the wheel no metadata."""

        def get(wanted: str) -> RemoteFilePart:
            headers = {"Range": wanted, "Accept-Encoding": "identity"}
            with ExitStack() as stack:
                response = wheel.stage.http.stream(
                    stack, "GET", wheel.url, allow_redirects=True, timeout=PATIENCE, extra_headers=headers
                )
                if response.status_code != PART:
                    _judge(response, wheel.url)
                    raise RangesRefusedError(_length(response) if response.status_code == FOUND else None)
                content = _at_most(response, wheel.url)
                return RemoteFilePart.parse(response.headers.get("content-range", ""), content or b"")

        try:
            return read_remote_metadata(RangedFile(get), wheel.project)
        except (
            RangesRefusedError,
            zipfile.BadZipFile,
            ValueError,
            NotImplementedError,
            RuntimeError,
            OSError,
        ) as error:
            log.info("no metadata of %s by ranges: %s", wheel.filename, error)
            return None


def _hash_spec(entry: Any) -> str:
    """The hash by which devpi knows a file, as `sha256=...`; empty when upstream gave none."""
    return str((entry.best_available_hash_spec if SEVEN else entry._hash_spec) or "")


def _length(response: Any) -> int | None:
    """How long the file is, where ranges that count from its beginning may still be answered."""
    length = str(response.headers.get("content-length", ""))
    return int(length) if length.isdecimal() and response.headers.get("accept-ranges") == "bytes" else None


def _judge(response: Any, url: str) -> None:
    """Raise InfrastructureError unless the answer says for good that there is nothing."""
    status = response.status_code
    if status < FOUND or status == 429 or status >= 500:
        reason = f"status {status}" if status > 0 else str(response.reason_phrase)
        raise InfrastructureError("upstream-silent", f"{URL(url).replace(username=None, password=None)}: {reason}.")


def _at_most(response: Any, url: str) -> bytes | None:
    """The body, if it is not larger than any metadata. Raises InfrastructureError when it does not come whole."""
    content = bytearray()
    try:
        for block in response.iter_bytes():
            content += block
            if len(content) > LARGEST:
                return None
    except Exception as error:
        # devpi hands its HTTP client's errors through, which has three families of them
        raise InfrastructureError("upstream-silent", f"{url}: the answer broke off ({error}).") from error
    return bytes(content)
