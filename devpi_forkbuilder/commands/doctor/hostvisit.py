"""`doctor` on the network: the proxy and certificates in use, and whether each host answers through them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from devpi_forkbuilder.commands.doctor.findings import Finding
from devpi_forkbuilder.domain.pins.pins import redacted
from devpi_forkbuilder.errors import ForkbuilderError
from devpi_forkbuilder.options import Options
from devpi_forkbuilder.pipeline.git import fetch_errors
from devpi_forkbuilder.pipeline.git.client import Git
from devpi_forkbuilder.pipeline.git.credential_files import CredentialFiles
from devpi_forkbuilder.pipeline.git.credential_helper import parse
from devpi_forkbuilder.pipeline.process import runner
from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.process.environment import network_variables, search_path
from devpi_forkbuilder.pipeline.process.watch import TransferWatch

UNREACHED = frozenset({"host-unreachable", "host-silent", "transfer-cut", "repository-broken"})
PROBE = "packaging"
"""A project that every public index has."""
SECONDS = 60.0
LOOK = "Check the proxy (HTTPS_PROXY, NO_PROXY) and the certificates (SSL_CERT_FILE) of the server's user."


class _Words:
    """Keeps the little that a trial prints."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, data: bytes) -> None:
        self.text = (self.text + data.decode("utf-8", "replace"))[-2000:]

    def say(self, line: str) -> None:
        """Nothing is kept of what we say ourselves."""


def check_network(options: Options, environ: Mapping[str, str], uv: Path | None) -> tuple[Finding, ...]:
    """What is used to reach other hosts, the public index, and each git host that the options name."""
    found = [_settings(environ)]
    with tempfile.TemporaryDirectory(prefix="doctor-") as name:
        folder = Path(name)
        if uv is not None:
            found.append(_index(uv, environ, folder))
        found += [_host(options, environ, folder, url) for url in hosts_of(options)]
    return tuple(found)


def hosts_of(options: Options) -> tuple[str, ...]:
    """The git hosts that allowed URLs and credentials name, as https URLs, each once."""
    named = [url for url in options.policy.prefixes if url.startswith("https://")]
    if options.credentials is not None and options.credentials.is_file():
        logins, _ = parse(options.credentials.read_text(encoding="utf-8", errors="replace"))
        named += [f"https://{login.host}" for login in logins]
    return tuple(dict.fromkeys(f"https://{urlsplit(url).netloc.rpartition('@')[2]}/" for url in named))


def _settings(environ: Mapping[str, str]) -> Finding:
    used = network_variables(environ)
    listed = ", ".join(f"{name}={redacted(value)}" for name, value in sorted(used.items()) if name.isupper())
    return Finding.ok("network", listed or "neither a proxy nor certificates of its own are set")


def _index(uv: Path, environ: Mapping[str, str], folder: Path) -> Finding:
    """Ask the public index in the way that builds do; no package is fetched."""
    requirement, words = folder / "requirements.in", _Words()
    requirement.write_text(f"{PROBE}\n")
    env = {
        **network_variables(environ),
        "HOME": str(folder),
        "PATH": search_path(environ),
        "UV_NO_CONFIG": "1",
        "UV_HTTP_RETRIES": "0",
        "UV_CACHE_DIR": str(folder / "cache"),
    }
    arguments = ("pip", "compile", "--quiet", "--no-deps", "--only-binary", ":all:", str(requirement))
    try:
        done = runner.run(
            Command((str(uv), *arguments), env, folder, SECONDS, "uv pip compile"), log=words, cancelled=lambda: False
        )
    except ForkbuilderError as error:
        return Finding.warning("public-index", f"The public index does not answer: {error.what}", LOOK)
    if done.returncode:
        said = " ".join(line.strip() for line in words.text.splitlines() if "cause:" in line or "error:" in line)
        return Finding.warning("public-index", f"The public index does not answer: {_plain(said)}", LOOK)
    return Finding.ok("public-index", "The public index answers.")


def _host(options: Options, environ: Mapping[str, str], folder: Path, url: str) -> Finding:
    name = f"host {urlsplit(url).netloc}"
    git = Git(folder / "home", environ, access=CredentialFiles(options.credentials), timeout=SECONDS, slow_seconds=15)
    try:
        watch = TransferWatch(_Words(), lambda: False)
        transfer = git.network(folder, f"{url}doctor.git", "ls-remote", "--", f"{url}doctor.git", watch=watch)
    except ForkbuilderError as fault:
        return Finding.failed(name, fault.what, fault.next_step)
    error = fetch_errors.certain(url, transfer)
    if error is not None and error.reference in UNREACHED:
        return Finding.failed(name, f"{error.what.rstrip('.')}{fetch_errors.quoted(transfer.finished.tail)}.", LOOK)
    return Finding.ok(name, "It answers.")


def _plain(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:300] or "uv says nothing."
