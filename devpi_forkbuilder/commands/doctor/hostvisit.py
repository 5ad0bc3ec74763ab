"""`doctor` on the network: the proxy and certificates in use, and whether each host answers through them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from devpi_forkbuilder.commands.doctor.findings import Finding
from devpi_forkbuilder.commands.doctor.githosts import LOOK, check_hosts, hosts_of
from devpi_forkbuilder.commands.doctor.trial_output import TrialOutput
from devpi_forkbuilder.domain.pins.pins import redacted
from devpi_forkbuilder.errors import ForkbuilderError
from devpi_forkbuilder.options import Options
from devpi_forkbuilder.pipeline.process import runner
from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.process.environment import network_variables, search_path

PROBE = "packaging"
"""A project that every public index has."""
SECONDS = 30.0


def check_network(
    options: Options, environ: Mapping[str, str], uv: Path | None, pinned: Iterable[str] = ()
) -> tuple[Finding, ...]:
    """What is used to reach other hosts, the public index, and each git host of the options and of `pinned` (URLs)."""
    found = [_settings(environ)]
    with tempfile.TemporaryDirectory(prefix="doctor-") as name:
        folder = Path(name)
        if uv is not None:
            found.append(_index(uv, environ, folder))
        found += check_hosts(options, environ, folder, hosts_of(options, pinned))
    return tuple(found)


def _settings(environ: Mapping[str, str]) -> Finding:
    used = network_variables(environ)
    listed = ", ".join(f"{name}={redacted(value)}" for name, value in sorted(used.items()) if name.isupper())
    return Finding.ok("network", listed or "neither a proxy nor certificates of its own are set")


def _index(uv: Path, environ: Mapping[str, str], folder: Path) -> Finding:
    """Ask the public index in the way that builds do; no package is fetched."""
    requirement, words = folder / "requirements.in", TrialOutput()
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


def _plain(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:300] or "uv says nothing."
