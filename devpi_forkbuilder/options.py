"""The server's options (group "forkbuilder"), read once into one value."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from devpi_forkbuilder.domain.pins.policy import PinPolicy
from devpi_forkbuilder.domain.tidy import DAY, TidyKind, TidyPlan
from devpi_forkbuilder.option_values import (
    age_option,
    count_option,
    gc_age,
    gc_size,
    network,
    positive_option,
    seconds,
    size,
    url_prefix,
    web_url,
)
from devpi_forkbuilder.pipeline.sandbox.rlimits import ResourceLimits
from devpi_forkbuilder.pipeline.sandbox.uid_pool import COUNT, FIRST

PREFIX = "--forkbuilder-"
TIERS = ("auto", "bwrap", "uid", "landlock", "none")
FOLDER = ".forkbuilder"
LIMITS = ("cpu", "memory", "total_memory", "processes", "open_files", "file_size", "folder")
LOG_FORMATS = ("text", "json")
DISK_FLOOR = 256 * 2**20
FARM_BUILDS = 64
"""Builds that are out at once where others build: each is a thread that waits."""
CREDENTIALS_FILE = "FORKBUILDER_GIT_CREDENTIALS_FILE"
"""The environment variable that names the file of --forkbuilder-credentials, for containers."""


def add_options(parser: Any) -> None:
    """Add the group to devpi-server's parser (hook `devpiserver_add_parser_options`)."""
    group = parser.addgroup("forkbuilder")

    def add(name: str, **settings: Any) -> None:
        group.addoption(PREFIX + name, **settings)

    add("dir", metavar="DIR", help="folder for queue, logs, sources and git mirrors; default: <serverdir>/.forkbuilder")
    _add_times(add)
    _add_trust(add)
    _add_limits(add)
    _add_tidying(add)
    add(
        "python-downloads",
        action="store_true",
        help="let uv download interpreters that clients ask for and this machine lacks",
    )
    add(
        "disk-floor",
        type=size,
        default=DISK_FLOOR,
        metavar="SIZE",
        help=f"free disk space below which the server is not ready; default: {DISK_FLOOR // 2**20}M",
    )
    add(
        "farm",
        metavar="DSN",
        help="PostgreSQL database (a libpq connection string or URL) of the queue for builders on other machines; "
        "forks are then built by `devpi-forkbuilder worker`",
    )
    add(
        "webhook",
        type=web_url,
        metavar="URL",
        help="URL that gets a POST for builds that failed, recovered or were built",
    )
    add("webhook-secret", metavar="FILE", help="signs the webhook's POSTs (first line); default: <dir>/webhook-secret")
    add(
        "log-format",
        choices=LOG_FORMATS,
        default=LOG_FORMATS[0],
        help="lines of the server's logs as text, or as JSON objects with ids of builds; default: text",
    )
    add("cached-only", action="store_true", help="never build; pins without a file get a placeholder that says so")
    add("read-only", action="store_true", help="refuse every change; misses are still built, or passed to the primary")


def _add_times(add: Callable[..., None]) -> None:
    """How much at once, and how long."""
    add(
        "workers",
        type=positive_option,
        metavar="NUM",
        help=f"builds at once; default: CPUs, and {FARM_BUILDS} with --forkbuilder-farm, whose workers have limits of "
        "their own",
    )
    add(
        "read-ahead",
        type=count_option,
        metavar="NUM",
        default=os.cpu_count() or 1,
        help="number of following pins to build speculatively on idle workers (0 disables); default: CPUs",
    )
    _seconds(add, "hold", 3.0, "seconds until newlines are sent to a waiting client")
    add(
        "trusted-proxy",
        type=network,
        action="append",
        default=[],
        metavar="ADDRESS",
        help="address or network of a proxy whose X-Forwarded-For or X-Real-IP names the client (repeatable); one "
        "client may hold half of the seats at most",
    )
    _seconds(add, "wait", 900.0, "seconds that a request is held at most")
    _seconds(add, "build-timeout", 1800.0, "seconds that a build may take")
    _seconds(add, "silence-timeout", 600.0, "seconds that a build may print nothing")


def _seconds(add: Callable[..., None], name: str, default: float, text: str) -> None:
    """An option that is a number of seconds."""
    add(name, type=seconds, default=default, metavar="SECONDS", help=f"{text}; default: {default:g}")


def _add_trust(add: Callable[..., None]) -> None:
    """What may be fetched with which logins, by whom, and how builds are confined."""
    add(
        "allow-url",
        type=url_prefix,
        action="append",
        default=[],
        metavar="PREFIX",
        help="fetch only from URLs that begin with PREFIX (repeatable); default: any https or ssh host",
    )
    add(
        "also-allow-url",
        type=url_prefix,
        action="append",
        default=[],
        metavar="PREFIX",
        help="also fetch from URLs that begin with PREFIX (repeatable)",
    )
    add(
        "credentials",
        metavar="FILE",
        help=f"credentials for git hosts, in git-credential-store format, mode 600; default: ${CREDENTIALS_FILE}",
    )
    add("ssh-key", metavar="FILE", help="private key for ssh URLs")
    add(
        "known-hosts", metavar="FILE", help="known_hosts file for ssh URLs; connections to hosts not listed are refused"
    )
    add(
        "tools",
        action="append",
        default=[],
        metavar="DIR",
        help="folder whose programs (in DIR/bin, or in DIR itself) builds may use, read-only (repeatable); only root "
        "and the server's user may have write access to it",
    )
    add(
        "first-uid",
        type=positive_option,
        default=FIRST,
        metavar="NUM",
        help=f"first of the {COUNT} user ids for builds, where the server runs as root; default: {FIRST}",
    )
    add("sandbox", choices=TIERS, default="auto", help="sandbox for builds; auto: the strongest that works here")
    add(
        "allow-user",
        action="append",
        default=[],
        metavar="NAME",
        help="user whose indexes may have pins (repeatable); default: root. To pin is to run code on this server",
    )


def _add_limits(add: Callable[..., None]) -> None:
    """What one build may use; the defaults are those of `Limits`."""
    default = ResourceLimits()
    for name, value, what in (
        ("memory", default.memory, "address space of each process of a build"),
        ("total-memory", default.total_memory, "memory of a whole build, where the server has a cgroup"),
        ("file-size", default.file_size, "size of each file that a build writes"),
        ("folder", default.folder, "size of a build's work folder"),
    ):
        text = f"largest {what}, in bytes or with K, M or G; default: {value // 2**30}G"
        add(f"limit-{name}", type=size, default=value, metavar="SIZE", help=text)
    for name, value, what in (
        ("cpu", default.cpu, "processor time of each process of a build, in seconds"),
        ("processes", default.processes, "number of processes and threads of a build"),
        ("open-files", default.open_files, "number of open files of each process of a build"),
    ):
        add(f"limit-{name}", type=positive_option, default=value, metavar="NUM", help=f"{what}; default: {value}")


def _add_tidying(add: Callable[..., None]) -> None:
    """What is kept how long beside releases: `gc` and the server's daily pass."""
    names = ", ".join(kind.value for kind in TidyKind)
    add(
        "gc-age",
        type=gc_age,
        action="append",
        default=[],
        metavar="KIND=AGE",
        help=f"remove what is unused for longer, such as logs=90d, 12h, 600 or never (repeatable); KIND: {names}",
    )
    add(
        "gc-size",
        type=gc_size,
        action="append",
        default=[],
        metavar="KIND=SIZE",
        help="remove the largest and least used of a kind beyond a size, such as mirrored=20G, or never (repeatable)",
    )
    add(
        "gc-free",
        type=size,
        default=2**30,
        metavar="SIZE",
        help="with less free on a disk, remove what can be fetched again (uv-cache, mirrored, mirrors); default: 1G",
    )
    add(
        "gc-interval",
        type=age_option,
        default=DAY,
        metavar="AGE",
        help="time between two passes of the server; 0: none, only `devpi-forkbuilder gc`; default: 1d",
    )


@dataclass(frozen=True, slots=True)
class Options:
    """The options as values; times in seconds."""

    folder: Path
    workers: int
    read_ahead: int
    hold: float
    wait: float
    build_timeout: float
    silence_timeout: float
    policy: PinPolicy
    credentials: Path | None
    ssh_key: Path | None
    known_hosts: Path | None
    sandbox: str
    cached_only: bool
    farm: str = ""
    python_downloads: bool = False
    disk_floor: int = DISK_FLOOR
    first_uid: int = FIRST
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    tools: tuple[Path, ...] = ()
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    tidy: TidyPlan = field(default_factory=TidyPlan)
    gc_interval: float = DAY
    log_format: str = "text"
    webhook: str | None = None
    webhook_secret: Path | None = None

    @classmethod
    def read(cls, args: Namespace, server_path: Path, environ: Mapping[str, str] = os.environ) -> Options:
        """The options in devpi-server's parsed arguments; `environ` is the server's environment."""

        def option(name: str) -> Any:
            return getattr(args, "forkbuilder_" + name)

        farm = option("farm") or ""
        users = frozenset(option("allow_user") or ["root"])
        return cls(
            folder=Path(option("dir") or server_path / _folder_name(args)).expanduser().absolute(),
            workers=option("workers") or (FARM_BUILDS if farm else os.cpu_count() or 1),
            read_ahead=option("read_ahead"),
            hold=option("hold"),
            wait=option("wait"),
            build_timeout=option("build_timeout"),
            silence_timeout=option("silence_timeout"),
            policy=PinPolicy(users, tuple(option("allow_url")), tuple(option("also_allow_url"))),
            credentials=_path(option("credentials") or environ.get(CREDENTIALS_FILE)),
            ssh_key=_path(option("ssh_key")),
            known_hosts=_path(option("known_hosts")),
            sandbox=option("sandbox"),
            cached_only=option("cached_only") or bool(getattr(args, "offline_mode", False)),
            farm=farm,
            python_downloads=option("python_downloads"),
            disk_floor=option("disk_floor"),
            first_uid=option("first_uid"),
            tools=tuple(Path(folder).expanduser().absolute() for folder in option("tools")),
            trusted_proxies=tuple(option("trusted_proxy")),
            log_format=option("log_format"),
            webhook=option("webhook"),
            webhook_secret=_path(option("webhook_secret")),
            tidy=TidyPlan.of(option("gc_age"), option("gc_size"), option("gc_free")),
            gc_interval=option("gc_interval") or 0.0,
            limits=ResourceLimits(**{name: option(f"limit_{name}") for name in LIMITS}),
        )


def _folder_name(args: Namespace) -> str:
    """A second process on the same server directory (`--requests-only`) has work of its own to keep apart."""
    return f"{FOLDER}-{args.port}" if getattr(args, "requests_only", False) else FOLDER


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser().absolute() if text else None
