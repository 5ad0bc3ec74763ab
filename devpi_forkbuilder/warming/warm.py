"""Warming: forks first, then what all requirements lead to, then every file, then what sources need to be built."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from packaging.version import Version

from devpi_forkbuilder.domain.compat.choice import WantedRelease, choose_file, release_of
from devpi_forkbuilder.domain.compat.platforms import Target
from devpi_forkbuilder.domain.index_requirements import asked, git_requirement, hashes_of, left_out
from devpi_forkbuilder.domain.manifest import Manifest, ManifestFile
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine
from devpi_forkbuilder.domain.requirements_files.requirements import RequirementsFile
from devpi_forkbuilder.domain.simple.simplepage import ListedFile
from devpi_forkbuilder.warming.protocols import Display, NotFetchedError
from devpi_forkbuilder.warming.resolve import Resolver, Text
from devpi_forkbuilder.warming.sources import build_requirements
from devpi_forkbuilder.warming.thread_pool import each
from devpi_forkbuilder.warming.web import Web

SPOOLED = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """What to fetch: `files` are resolved together, each group of `alone` by itself, all of them for each target.

    `sources`: source distributions of everything, too.
    """

    files: tuple[RequirementsFile, ...]
    targets: tuple[Target, ...]
    alone: tuple[tuple[RequirementsFile, ...], ...] = ()
    sources: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Missing:
    """What could not be fetched, and why."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is in the cache now; `fetched` files of `size` bytes in all came, `kept` were there before."""

    manifest: Manifest
    missing: tuple[Missing, ...]
    fetched: int
    kept: int
    size: int


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A file of a release; `builders`: the targets that have to build it."""

    release: WantedRelease
    file: ListedFile
    builders: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class _Had:
    """A file that is in the cache; `requires`: what building it requires, if some target has to."""

    sha256: str
    size: int = 0
    kept: bool = False
    requires: tuple[str, ...] = ()


@dataclass(slots=True)
class Warming:
    """One run: `run` does it. `hands`: how many requests at once."""

    web: Web
    resolver: Resolver
    display: Display
    hands: int = 8
    _missing: set[Missing] = field(default_factory=set)
    _had: dict[_Wanted, _Had] = field(default_factory=dict)
    _asked: set[tuple[WantedRelease, Target]] = field(default_factory=set)

    def run(self, plan: Plan) -> Outcome:
        """Fetch it all. Never raises for what cannot be fetched: the outcome says so."""
        for line in left_out(file for group in (plan.files, *plan.alone) for file in group):
            if line.elsewhere:
                self._missing.add(Missing(f"{line.place}: {line.text}", line.why))
            else:
                self.display.note(str(line))
        self._files(self._resolved(plan), hashes_of(plan.files), plan.sources)
        return self._outcome()

    # what is wanted

    def _resolved(self, plan: Plan) -> list[tuple[WantedRelease, Target]]:
        """Every release that the plan leads to, for each target."""
        failed = self._forks(plan)
        self.display.begin("resolving", len(plan.targets) * (1 + len(plan.alone)))
        found: list[tuple[WantedRelease, Target]] = []
        for target in plan.targets:
            for number, group in enumerate((plan.files, *plan.alone)):
                without = {line for line, other in failed if other == target}
                texts = [Text(file.name, asked(file, without), file.constraint) for file in group]
                what = f"requirements for {target}" if not number else f"{group[0].name} for {target}"
                releases = self._releases(texts, target, what)
                found += ((release, target) for release in releases)
                self.display.done(f"{len(releases)} releases: {what}")
        return found

    def _forks(self, plan: Plan) -> set[tuple[GitLine, Target]]:
        """Ask for the page of each git line, which has its fork built; the lines that came to nothing."""
        lines = {line for group in (plan.files, *plan.alone) for file in group for line in file.git_lines}
        asked_for = [(line, target) for line in sorted(lines, key=_place) for target in plan.targets]
        if not asked_for:
            return set()
        self.display.begin("forks", len(asked_for))
        failed = set()
        for (line, target), why in each(self._fork, asked_for, self.hands):
            label = f"{git_requirement(line)} for {target}"
            if why:
                failed.add((line, target))
                self._missing.add(Missing(label, why))
            self.display.done(f"{label}: {why or 'built'}")
        return failed

    def _fork(self, line_and_target: tuple[GitLine, Target]) -> str:
        """Why a fork is not there for a target; empty when it is."""
        line, target = line_and_target
        try:
            page = self.web.page(line.name, target.client)
            for file in page:
                if file.is_placeholder and _stands_for(file, line):
                    self.web.fetch(file)
        except NotFetchedError as error:
            return error.why
        return ""

    def _releases(self, texts: Sequence[Text], target: Target, what: str) -> tuple[WantedRelease, ...]:
        """The releases; where the texts cannot be resolved together, those of the parts that can."""
        try:
            return self.resolver.releases(texts, target)
        except NotFetchedError as error:
            self._missing.add(Missing(what, error.why))
        lines = [line for text in texts if not text.constraint for line in text.text.splitlines() if line.strip()]
        constraints = [text for text in texts if text.constraint]
        if len(lines) < 2:
            return ()
        self.display.note(f"{what} cannot be resolved together: looking for the parts that can")
        return (*self._part(lines[::2], constraints, target), *self._part(lines[1::2], constraints, target))

    def _part(self, lines: Sequence[str], constraints: Sequence[Text], target: Target) -> tuple[WantedRelease, ...]:
        """The releases of some lines: of all together, or of either half, down to a line that leads to none."""
        try:
            text = Text("part", "".join(f"{line}\n" for line in lines))
            return self.resolver.releases([text, *constraints], target)
        except NotFetchedError as error:
            if len(lines) == 1:
                self._missing.add(Missing(f"{lines[0]} for {target}", error.why))
                return ()
        return (*self._part(lines[::2], constraints, target), *self._part(lines[1::2], constraints, target))

    # files

    def _files(
        self, wanted: Iterable[tuple[WantedRelease, Target]], hashes: Mapping[str, frozenset[str]], sources: bool
    ) -> None:
        """Have all files of these releases, and of what building them requires."""
        while wanted := [one for one in dict.fromkeys(wanted) if one not in self._asked]:
            self._asked.update(wanted)
            files = self._chosen(wanted, hashes, sources)
            self.display.begin("files", len(files))
            needs: dict[tuple[Target, tuple[str, ...]], str] = {}
            for one, had in each(self._file, files, self.hands):
                self._note(one, had)
                if isinstance(had, _Had):
                    needs.update({(target, had.requires): str(one.release) for target in one.builders})
            wanted = [
                (release, target)
                for (target, lines), who in needs.items()
                for release in self._needs(target, lines, who)
            ]

    def _chosen(
        self, wanted: Sequence[tuple[WantedRelease, Target]], hashes: Mapping[str, frozenset[str]], sources: bool
    ) -> list[_Wanted]:
        """The files of releases, each once, from the pages as their targets see them."""
        pages = list(dict.fromkeys((release.name, target) for release, target in wanted))
        self.display.begin("pages", len(pages))
        found: dict[tuple[str, Target], tuple[ListedFile, ...] | None] = {}
        for (name, target), page in each(self._page, pages, self.hands):
            found[name, target] = page if isinstance(page, tuple) else None
            if isinstance(page, str):
                self._missing.add(Missing(f"{name} for {target}", page))
            self.display.done(f"{name} for {target}")
        files: dict[str, _Wanted] = {}
        for release, target in wanted:
            listed = found[release.name, target]
            choice = choose_file(listed or (), release, target.client, hashes.get(release.name, ()), sources=sources)
            if listed is not None and not choice.files:
                self._missing.add(Missing(str(release), f"it has no file for {target}"))
            for file in choice.files:
                before = files.get(file.url, _Wanted(release, file))
                builders = (*before.builders, *((target,) if choice.built else ()))
                files[file.url] = _Wanted(release, file, builders)
        return list(files.values())

    def _page(self, name_and_target: tuple[str, Target]) -> tuple[ListedFile, ...] | str:
        name, target = name_and_target
        try:
            return self.web.page(name, target.client)
        except NotFetchedError as error:
            return error.why

    def _file(self, one: _Wanted) -> _Had | str:
        """Have a file in the cache, or why it is not there."""
        file = one.file
        try:
            if not one.builders and file.sha256 and self.web.has(file):
                return _Had(file.sha256, kept=True)
            with tempfile.SpooledTemporaryFile(SPOOLED) as archive:
                kept = bool(one.builders) and self.web.has(file)
                fetched = self.web.fetch(file, archive if one.builders else None)
                requires = build_requirements(archive, file.filename) if one.builders else ()
            if file.metadata:
                self.web.metadata(file)
        except NotFetchedError as error:
            return error.why
        return _Had(fetched.sha256, fetched.size, kept, requires)

    def _note(self, one: _Wanted, had: _Had | str) -> None:
        if isinstance(had, str):
            self._missing.add(Missing(one.file.filename, had))
            self.display.done(f"{one.file.filename}: {had}")
            return
        self._had[one] = had
        self.display.done(f"{one.file.filename}: {'was there' if had.kept else _size(had.size)}")

    def _needs(self, target: Target, lines: tuple[str, ...], who: str) -> tuple[WantedRelease, ...]:
        """The releases that building something for a target requires."""
        if not lines:
            return ()
        what = f"what {who} requires to be built for {target}"
        return self._releases([Text("build", "".join(f"{line}\n" for line in lines))], target, what)

    def _outcome(self) -> Outcome:
        files = (
            ManifestFile(one.release.name, str(one.release.version), one.file.filename, had.sha256)
            for one, had in self._had.items()
        )
        came = [had for had in self._had.values() if not had.kept]
        return Outcome(
            Manifest.of(files),
            tuple(sorted(self._missing)),
            len(came),
            len(self._had) - len(came),
            sum(had.size for had in came),
        )


def _place(line: GitLine) -> tuple[str, int, str]:
    return line.place.file, line.place.line, line.project


def _stands_for(file: ListedFile, line: GitLine) -> bool:
    """Whether a placeholder is what an installer would take for a git line."""
    release = release_of(file.filename)
    if line.version is None or release is None:
        return True
    return Version(release.version.public) == Version(line.version) or release.version == Version(line.version)


def _size(size: int) -> str:
    return f"{size / 1024:.0f} KiB" if size < 10 * 1024 * 1024 else f"{size / 1024 / 1024:.0f} MiB"
