"""`doctor` on git hosts: each one that pins, allowed URLs and credentials name, tried as a build reaches it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from devpi_forkbuilder.commands.doctor.findings import Finding
from devpi_forkbuilder.commands.doctor.trial_output import TrialOutput
from devpi_forkbuilder.errors import ForkbuilderError
from devpi_forkbuilder.options import Options
from devpi_forkbuilder.pipeline.git import fetch_errors
from devpi_forkbuilder.pipeline.git.client import Git
from devpi_forkbuilder.pipeline.git.credential_files import CredentialFiles
from devpi_forkbuilder.pipeline.git.credential_helper import parse
from devpi_forkbuilder.pipeline.git.pinned_dns import PinnedDns
from devpi_forkbuilder.pipeline.process.watch import TransferWatch

UNREACHED = frozenset({"host-unreachable", "host-silent", "transfer-cut", "repository-broken", "address-refused"})
SECONDS = 20.0
"""For one host; several are tried at once."""
AT_ONCE = 8
MOST = 40
"""The most hosts that are tried."""
LOOK = "Check the proxy (HTTPS_PROXY, NO_PROXY) and the certificates (SSL_CERT_FILE) of the server's user."
NO_REPOSITORY = "doctor.git"
"""What is asked for on a host of which no repository is known: any answer shows that the host is reached."""


@dataclass(frozen=True, slots=True)
class GitHost:
    """A git host, and what is asked for there: a pinned repository, or one that need not exist."""

    url: str
    pinned: bool

    @property
    def name(self) -> str:
        """Host and port as users write them."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


def hosts_of(options: Options, pinned: Iterable[str] = ()) -> tuple[GitHost, ...]:
    """The hosts of `pinned` (URLs of repositories), allowed URLs and credentials, each once, without logins."""
    found = [GitHost(url, pinned=True) for url in pinned]
    prefixes = [prefix.removeprefix("git+") for prefix in options.policy.prefixes]
    found += [GitHost(_any_repository(url), pinned=False) for url in prefixes]
    if options.credentials is not None and options.credentials.is_file():
        logins, _ = parse(options.credentials.read_text(encoding="utf-8", errors="replace"))
        found += [GitHost(_any_repository(f"https://{login.host}"), pinned=False) for login in logins]
    first: dict[tuple[str, str], GitHost] = {}
    for one in found:
        if one.name:
            first.setdefault((urlsplit(one.url).scheme, one.name), one)
    return tuple(first.values())


def check_hosts(
    options: Options, environ: Mapping[str, str], folder: Path, hosts: tuple[GitHost, ...]
) -> tuple[Finding, ...]:
    """A finding for each host, tried with the proxy, certificates and logins of builds; `folder` is for git's files."""
    tried, left_out = hosts[:MOST], hosts[MOST:]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = tuple(threads.map(partial(_check, options, environ, folder), tried))
    if left_out:
        rest = Finding.warning("hosts", f"{len(left_out)} more hosts were not tried.", "Give fewer pins at a time.")
        return (*found, rest)
    return found


def _any_repository(prefix: str) -> str:
    parts = urlsplit(prefix)
    user = "git@" if parts.scheme == "ssh" and "@" in parts.netloc else ""
    return f"{parts.scheme}://{user}{parts.netloc.rpartition('@')[2]}/{NO_REPOSITORY}"


def _check(options: Options, environ: Mapping[str, str], folder: Path, host: GitHost) -> Finding:
    name = f"host {host.name}"
    access = CredentialFiles(options.credentials, options.ssh_key, options.known_hosts)
    route = PinnedDns(options.policy.names_host, environ)
    git = Git(folder / "home", environ, access=access, timeout=SECONDS, slow_seconds=10, route=route.to)
    watch = TransferWatch(TrialOutput(), lambda: False)
    try:
        transfer = git.network(folder, host.url, "ls-remote", "--", host.url, watch=watch)
    except ForkbuilderError as fault:
        return Finding.failed(name, fault.what, fault.next_step or LOOK)
    error = fetch_errors.certain(host.url, transfer)
    if error is not None and error.reference in UNREACHED:
        what = f"{error.what.rstrip('.')}{fetch_errors.quoted(transfer.finished.tail)}."
        return Finding.failed(name, what, LOOK)
    if host.pinned and transfer.finished.returncode:
        error = error or fetch_errors.unclear(host.url, transfer.finished.tail)
        return Finding.warning(name, f"It answers, and not with a pinned repository: {error.what}", error.next_step)
    return Finding.ok(name, "It answers.")
