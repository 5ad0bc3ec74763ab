"""Options from the environment, for containers: `FORKBUILDER_PORT=4141` is `--port 4141`.

The command line comes after the environment, so it wins; options that may be repeated add up.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from devpi_forkbuilder.errors import RefusedError
from devpi_forkbuilder.options import CREDENTIALS_FILE, PREFIX, add_options

VARIABLE = "FORKBUILDER_"
REQUIREMENTS = "FORKBUILDER_REQUIREMENTS"
CHECKOUTS = "FORKBUILDER_CHECKOUTS"
MORE = "FORKBUILDER_OPTIONS"
UP = {
    "FORKBUILDER_INDEX": "--index",
    "FORKBUILDER_SERVERDIR": "--serverdir",
    "FORKBUILDER_HOST": "--host",
    "FORKBUILDER_PORT": "--port",
    "FORKBUILDER_REPLICA_OF": "--replica-of",
    "FORKBUILDER_UPSTREAM": "--upstream",
    "FORKBUILDER_PUBLIC_INDEX": "--public-index",
    "FORKBUILDER_SECRET_FILE": "--secretfile",
    "FORKBUILDER_ROOT_PASSWORD_FILE": "--root-password-file",
    "FORKBUILDER_STORAGE": "--storage",
    "FORKBUILDER_STORAGE_PASSWORD_FILE": "--storage-password-file",
    "FORKBUILDER_OUTSIDE_URL": "--outside-url",
}
"""Variables of `up` that have one value."""
UP_SWITCHES = {
    "FORKBUILDER_BUILD": "--build",
    "FORKBUILDER_RESOLVE": "--resolve",
    "FORKBUILDER_KEEP_GOING": "--keep-going",
}
"""Variables of `up` that are on or off."""
DOCTOR = {"FORKBUILDER_SERVERDIR": "--serverdir"}
ON, OFF = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})
SERVICE_LINK = "://"
"""Kubernetes gives each container variables of all services of its namespace: a service that is called `forkbuilder`
brings `FORKBUILDER_PORT=tcp://10.0.0.1:3141`, `FORKBUILDER_SERVICE_HOST`, `FORKBUILDER_PORT_3141_TCP`."""
SERVICE_LINKS = ("FORKBUILDER_SERVICE_", "FORKBUILDER_PORT_")


@dataclass(frozen=True, slots=True)
class Option:
    """One of the plugin's options of devpi-server: a flag, one value, or values that add up."""

    name: str
    flag: bool
    repeatable: bool


class _Collected:
    """Takes the place of devpi's parser and remembers what is added to it."""

    def __init__(self) -> None:
        self.options: list[Option] = []

    def addgroup(self, name: str) -> _Collected:  # noqa: ARG002  (devpi's parser)
        return self

    def addoption(self, name: str, action: str = "store", **settings: object) -> None:  # noqa: ARG002  (as above)
        self.options.append(Option(name, flag=action == "store_true", repeatable=action == "append"))


def server_options() -> dict[str, Option]:
    """The plugin's options of devpi-server by their variables."""
    collected = _Collected()
    add_options(collected)
    return {VARIABLE + one.name.removeprefix(PREFIX).replace("-", "_").upper(): one for one in collected.options}


def words_for_up(environ: Mapping[str, str]) -> list[str]:
    """What the environment says to `up`, as words of its command line. Raises RefusedError for a value that is none.

    An empty variable is as one that is not there: compose files hand those on that nobody has set.
    """
    words: list[str] = []
    for name, option in UP.items():
        value = environ.get(name, "")
        if value and not (name == "FORKBUILDER_PORT" and SERVICE_LINK in value):
            words += [option, value]
    words += [option for name, option in UP_SWITCHES.items() if environ.get(name) and _switched_on(name, environ[name])]
    for path in environ.get(REQUIREMENTS, "").split():
        words += ["-r", path]
    words += environ.get(CHECKOUTS, "").split()
    return [*words, *_of_the_server(environ), *shlex.split(environ.get(MORE, ""))]


def words_for_doctor(environ: Mapping[str, str]) -> list[str]:
    """What `doctor` has to know of a server that is configured by the environment. Raises RefusedError."""
    words = [word for name, option in DOCTOR.items() if environ.get(name) for word in (option, environ[name])]
    return [*words, *_of_the_server(environ)]


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Variables that look like ours and mean nothing: most likely misspelt."""
    known = {*UP, *UP_SWITCHES, *server_options(), REQUIREMENTS, CHECKOUTS, MORE, CREDENTIALS_FILE}
    ours = (name for name in environ if name.startswith(VARIABLE) and not name.startswith(SERVICE_LINKS))
    return sorted(name for name in ours if name not in known)


def _of_the_server(environ: Mapping[str, str]) -> Iterator[str]:
    for name, option in server_options().items():
        value = environ.get(name, "").strip()
        if not value:
            continue
        if option.flag:
            yield from (option.name,) if _switched_on(name, value) else ()
        else:
            for one in value.split() if option.repeatable else (value,):
                yield from (option.name, one)


def _switched_on(name: str, value: str) -> bool:
    if value.lower() not in ON | OFF:
        raise RefusedError(
            "environment-switch", f"{name} is a switch, and {value!r} is neither on nor off.", next_step="Write 1 or 0."
        )
    return value.lower() in ON
