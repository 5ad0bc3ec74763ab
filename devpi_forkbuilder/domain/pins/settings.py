"""The settings of an index of type `forkbuilder`, as values: pins and how they are built.

Everything is read before anything is judged as a whole, so that one answer names all faults.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from devpi_forkbuilder.domain.compat.targets import is_interpreter
from devpi_forkbuilder.domain.pins.orders import Order, Recipe, Versions
from devpi_forkbuilder.domain.pins.pins import NAME, Pin, PinsRefusedError, parse_pins
from devpi_forkbuilder.errors import RefusedError

FORKS = "forks"
VERSIONS = "fork_versions"
PYTHONS = "fork_pythons"
CONSTRAINTS = "fork_build_constraints"
ENV = "fork_build_env"
NETWORK = "fork_build_network"
UNREACHABLE = "fork_unreachable_commits"
UPLOAD_TIME = "fork_upload_time"
BUILD = "fork_build"
LINES = (FORKS, PYTHONS, CONSTRAINTS, ENV, NETWORK)
"""The settings that are lists of lines; all others are one word."""
REFUSE, ALLOW = "refuse", "allow"


class UploadTime(str, Enum):
    """The `fork_upload_time` setting: which moment is the upload time (PEP 700) of a fork's file."""

    PUBLISHED = "published"
    PINNED = "pinned"
    COMMIT = "commit"


class BuildWhen(str, Enum):
    """The `fork_build` setting: what starts a build."""

    MISS = "miss"
    PIN = "pin"


DEFAULTS: tuple[tuple[str, str | tuple[str, ...]], ...] = (
    (FORKS, ()),
    (VERSIONS, Versions.STAMPED.value),
    (PYTHONS, ()),
    (CONSTRAINTS, ()),
    (ENV, ()),
    (NETWORK, ()),
    (UNREACHABLE, REFUSE),
    (UPLOAD_TIME, UploadTime.PUBLISHED.value),
    (BUILD, BuildWhen.MISS.value),
)

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED = re.compile(
    r"(?:LD_.*|PATH|HOME|TMPDIR|PYTHONHOME|PYTHONPATH|PYTHONSTARTUP|PIP_.*|UV_.*|GIT_.*|VIRTUAL_ENV|SOURCE_DATE_EPOCH)"
)


class SettingsRefusedError(RefusedError):
    """Faults of an index's settings, each one message."""

    def __init__(self, messages: Iterable[str]) -> None:
        self.messages = tuple(messages)
        super().__init__("settings-refused", "; ".join(self.messages))


@dataclass(frozen=True, slots=True)
class ProjectLine:
    """`name: value`, or only a value that holds for every project (`name` is then empty)."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """What an index says about its forks.

    `network` has the normalized names of projects whose own code may use the network when it is built; with
    `unreachable` commits need not be on a branch or tag of their repository.
    """

    pins: tuple[Pin, ...] = ()
    versions: Versions = Versions.STAMPED
    constraints: tuple[ProjectLine, ...] = ()
    env: tuple[ProjectLine, ...] = ()
    pythons: tuple[ProjectLine, ...] = ()
    network: frozenset[str] = frozenset()
    unreachable: bool = False
    upload_time: UploadTime = UploadTime.PUBLISHED
    build: BuildWhen = BuildWhen.MISS
    _by_name: dict[str, tuple[Pin, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name: dict[str, tuple[Pin, ...]] = {}
        for pin in self.pins:
            by_name[pin.name] = (*by_name.get(pin.name, ()), pin)
        object.__setattr__(self, "_by_name", by_name)

    @property
    def projects(self) -> tuple[str, ...]:
        """The normalized names of the pinned projects, in the order of their first pins."""
        return tuple(self._by_name)

    @classmethod
    def parse(cls, config: Mapping[str, object]) -> IndexSettings:
        """The settings in an index configuration; raises SettingsRefusedError with every fault."""
        faults = [f"{key}: {str(config[key])[:80]!r}: write text, or a list of texts" for key in _wrong(config)]
        if faults:
            raise SettingsRefusedError(faults)
        pins = _judged(lambda: parse_pins(lines_of(config.get(FORKS, ()))), FORKS, faults)
        names = None if pins is None else frozenset(pin.name for pin in pins)
        versions = Versions(_word(config, VERSIONS, tuple(one.value for one in Versions), faults))
        unreachable = _word(config, UNREACHABLE, (REFUSE, ALLOW), faults) == ALLOW
        upload_time = UploadTime(_word(config, UPLOAD_TIME, tuple(one.value for one in UploadTime), faults))
        build = BuildWhen(_word(config, BUILD, tuple(one.value for one in BuildWhen), faults))
        constraints = _project_lines(config, CONSTRAINTS, _constraint_fault, names, faults)
        env = _project_lines(config, ENV, _variable_fault, names, faults)
        pythons = _project_lines(config, PYTHONS, _python_fault, names, faults)
        network = _project_lines(config, NETWORK, _name_fault, names, faults)
        if faults:
            raise SettingsRefusedError(faults)
        named = frozenset(line.name for line in network)
        return cls(pins or (), versions, constraints, env, pythons, named, unreachable, upload_time, build)

    def pins_of(self, project: str) -> tuple[Pin, ...]:
        """The pins of a project, given by its normalized name."""
        return self._by_name.get(project, ())

    def recipe(self, project: str) -> Recipe:
        """How a project is built, given by its normalized name."""
        constraints = tuple(line.value for line in self.constraints if line.name in {"", project})
        pairs = (line.value.partition("=") for line in self.env if line.name == project)
        env = tuple((key, value) for key, _, value in pairs)
        return Recipe(constraints, env, self._pythons(project), project in self.network, self.unreachable)

    def order(self, index: str, pin: Pin, *, python: str = "", requirements_url: str = "", pins_url: str = "") -> Order:
        """The order that builds `pin` on `index` (`user/name`)."""
        recipe, ahead = self.recipe(pin.name), self.interpreters(pin.name)
        return Order(index, pin, self.versions, recipe, python, requirements_url, pins_url, ahead)

    def interpreters(self, project: str) -> tuple[str, ...]:
        """The interpreters that a project (normalized name) with compiled parts is built for; empty: any that asks."""
        return self._pythons(project) or self._pythons("")

    def _pythons(self, project: str) -> tuple[str, ...]:
        """The interpreters that the lines of a project name, or those of no project: the empty name."""
        lines = (line.value for line in self.pythons if line.name == project)
        return tuple(dict.fromkeys(name for line in lines for name in _listed(line)))


def notes_of(settings: IndexSettings) -> tuple[str, ...]:
    """What everybody who installs from an index should know of its settings, in sentences."""
    notes = []
    if settings.unreachable:
        notes.append(
            f"{UNREACHABLE}={ALLOW}: commits need not be on a branch or tag of the repository that they are pinned in, "
            "so anybody who can fork that repository may have made them."
        )
    if settings.network:
        named = ", ".join(sorted(settings.network))
        notes.append(f"{NETWORK}: the builds of these projects have the network, so they may bring anything: {named}.")
    return tuple(notes)


def lines_of(value: object) -> tuple[str, ...]:
    """The lines of a setting that was given as text or as a list of texts (`forks+=` appends one text to the list)."""
    texts = [value] if isinstance(value, str) else value if isinstance(value, Iterable) else [str(value)]
    return tuple(line.strip() for text in texts for line in str(text).splitlines() or [""])


def is_lines(value: object) -> bool:
    """Whether a setting that is a list of lines can have this value: text, or a list of texts."""
    if isinstance(value, str):
        return True
    if isinstance(value, Mapping | bytes) or not isinstance(value, Iterable):
        return False
    return all(isinstance(text, str) for text in value)


def meaningful(lines: Iterable[str]) -> tuple[str, ...]:
    """The lines without blank ones and comments, each once."""
    return tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def _wrong(config: Mapping[str, object]) -> list[str]:
    return [key for key in LINES if key in config and not is_lines(config[key])]


def _judged(parse: Callable[[], tuple[Pin, ...]], setting: str, faults: list[str]) -> tuple[Pin, ...] | None:
    try:
        return parse()
    except PinsRefusedError as refused:
        faults.extend(f"{setting}: {fault}" for fault in refused.faults)
        return None


def _word(config: Mapping[str, object], setting: str, known: tuple[str, ...], faults: list[str]) -> str:
    """The value of a setting that is one of the `known` words; the first of them is the default."""
    value = str(config.get(setting, known[0]))
    if value in known:
        return value
    faults.append(f"{setting}: {value[:80]!r}: write {' or '.join(known)}")
    return known[0]


def _project_lines(
    config: Mapping[str, object],
    setting: str,
    judge: Callable[[ProjectLine], str | None],
    names: frozenset[str] | None,
    faults: list[str],
) -> tuple[ProjectLine, ...]:
    """The lines of a setting. `names` has the pinned projects, or is None when they could not be read."""
    found = []
    for number, text in enumerate(lines_of(config.get(setting, ())), 1):
        if not text or text.startswith("#"):
            continue
        line = _project_line(f"{text}:" if setting == NETWORK else text)
        fault = judge(line)
        if fault is None and line.name and names is not None and line.name not in names:
            fault = f"no pin names project {line.name!r}: pin it, or remove the line"
        if fault is not None:
            faults.append(f"{setting}: line {number}: {_shown(setting, text)}: {fault}")
        found.append(line)
    return tuple(found)


def _project_line(text: str) -> ProjectLine:
    name, colon, value = text.partition(":")
    if colon and NAME.fullmatch(name.strip()):
        return ProjectLine(canonicalize_name(name.strip()), value.strip())
    return ProjectLine("", text)


def _shown(setting: str, text: str) -> str:
    """The line as a message shows it: a variable's value stays out, it may be something its owner would not print."""
    return repr(text.partition("=")[0][:120] if setting == ENV else text[:120])


def _constraint_fault(line: ProjectLine) -> str | None:
    try:
        requirement = Requirement(line.value)
    except InvalidRequirement:
        return "not a constraint: write for example setuptools<81, or name: setuptools<58"
    if requirement.url or requirement.extras:
        return "a constraint has neither a URL nor extras: write for example setuptools<81"
    return None


def _python_fault(line: ProjectLine) -> str | None:
    bad = [name for name in _listed(line.value) if not is_interpreter(name)]
    if bad or not _listed(line.value):
        return f"{', '.join(bad)[:80] or 'nothing'} is not an interpreter: write for example 3.12, or name: 3.10"
    return None


def _name_fault(line: ProjectLine) -> str | None:
    return None if line.name and not line.value else "write the name of one pinned project"


def _listed(value: str) -> list[str]:
    return [name for name in re.split(r"[\s,]+", value) if name]


def _variable_fault(line: ProjectLine) -> str | None:
    key, equals, value = line.value.partition("=")
    if not line.name or not equals or not VARIABLE.fullmatch(key):
        return "write name: KEY=VALUE, for one pinned project"
    if RESERVED.fullmatch(key):
        return f"{key} is set by the server itself"
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", value):
        return "the value has a control character: remove it"
    return None
