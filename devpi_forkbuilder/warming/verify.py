"""A cache compared with a manifest: is every file there, with that content? Nothing is built and nothing fetched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from devpi_forkbuilder.domain.compat.targets import Client
from devpi_forkbuilder.domain.manifest import Manifest, ManifestFile
from devpi_forkbuilder.domain.simple.simplepage import ListedFile
from devpi_forkbuilder.warming.protocols import Display, NotFetchedError
from devpi_forkbuilder.warming.thread_pool import each
from devpi_forkbuilder.warming.web import Web


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """A file that is not as the manifest says, and how."""

    filename: str
    how: str

    def __str__(self) -> str:
        return f"{self.filename}: {self.how}"


@dataclass(frozen=True, slots=True)
class Verification:
    """Compares an index with manifests; `quick` believes its hashes and reads no file. `hands`: requests at once."""

    web: Web
    display: Display
    own: Client
    quick: bool = False
    hands: int = 8

    def differences(self, manifest: Manifest) -> tuple[Difference, ...]:
        """Every difference, sorted; none when the cache has all of the manifest."""
        projects: dict[str, list[ManifestFile]] = defaultdict(list)
        for file in manifest.files:
            projects[file.name].append(file)
        self.display.begin("projects", len(projects))
        found: list[Difference] = []
        for (name, files), different in each(self._project, list(projects.items()), self.hands):
            found += different
            self.display.done(f"{name}: {len(files) - len(different)} of {len(files)} files as they should be")
        return tuple(sorted(found))

    def _project(self, project: tuple[str, list[ManifestFile]]) -> list[Difference]:
        name, files = project
        try:
            page = {file.filename: file for file in self.web.kept_page(name, self.own)}
        except NotFetchedError as error:
            return [Difference(file.filename, f"the page of {name}: {error.why}") for file in files]
        return [Difference(file.filename, how) for file in files for how in self._file(file, page.get(file.filename))]

    def _file(self, file: ManifestFile, listed: ListedFile | None) -> Iterator[str]:
        """How a file differs; nothing when it does not."""
        if listed is None:
            yield "not on the index"
            return
        if listed.sha256 and listed.sha256 != file.sha256:
            yield f"its SHA-256 is {listed.sha256}, and should be {file.sha256}"
            return
        try:
            if not self.web.has(listed):
                yield "on the index, but not in the cache"
            elif not self.quick or not listed.sha256:
                fetched = self.web.fetch(listed)
                if fetched.sha256 != file.sha256:
                    yield f"its SHA-256 is {fetched.sha256}, and should be {file.sha256}"
        except NotFetchedError as error:
            yield error.why
