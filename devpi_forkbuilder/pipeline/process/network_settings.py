"""Proxies and certificate authorities as people have them, handed to each program in its own variables.

A company's proxy is often known to pip alone, and its certificate under one name of five: uv reads `SSL_CERT_FILE` (its
manual, "TLS certificates"), devpi and other users of requests `REQUESTS_CA_BUNDLE`, git `GIT_SSL_CAINFO` (git(1)), pip
`PIP_CERT` and `pip.conf` (its manual, "Configuration"). `GIT_SSL_CAINFO` alone is for git hosts and stays git's.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
"""Names of a file with certificates, in the order in which they count."""
READERS = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO")
"""What uv, devpi and git read."""
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
OWN = ("127.0.0.1", "localhost", "::1")
"""This server itself, which builds ask for what they require."""


def network_settings(
    environ: Mapping[str, str], pip: Mapping[str, str], is_file: Callable[[str], bool] = os.path.isfile
) -> dict[str, str]:
    """Return the variables to add to `environ` so that uv, git and devpi use what it or `pip`'s configuration names.

    What `environ` says to one of them stays. `pip` has the options `cert` and `proxy`, where they are set.
    """
    added: dict[str, str] = {}
    named = [environ.get(name, "") for name in BUNDLES] + [pip.get("cert", "")]
    bundle = next((path for path in named if path and is_file(path)), "")
    if bundle and not environ.get("SSL_CERT_DIR"):
        added |= {name: bundle for name in READERS if not environ.get(name)}
    proxy = environ.get("PIP_PROXY") or pip.get("proxy", "")
    has_proxy = any(value and name.lower() in PROXIES for name, value in environ.items())
    if proxy and not has_proxy:
        url = proxy if "://" in proxy else f"http://{proxy}"
        added |= {"HTTP_PROXY": url, "HTTPS_PROXY": url, "http_proxy": url, "https_proxy": url}
    if proxy or has_proxy:
        direct = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
        if direct != "*":
            listed = ",".join(dict.fromkeys((*filter(None, direct.split(",")), *OWN)))
            added |= {"NO_PROXY": listed, "no_proxy": listed}
    return added


def with_network_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` with what `network_settings` adds, pip's configuration read from this machine."""
    return {**environ, **network_settings(environ, pip_options(pip_files(environ)))}


def pip_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the files that pip reads on Unix, in the order in which they override (its manual, "Location")."""
    own = environ.get("PIP_CONFIG_FILE", "")
    if own == os.devnull:
        return ()
    home = Path(environ.get("HOME") or "/nonexistent")
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", user / "pip" / "pip.conf", Path(sys.prefix, "pip.conf")]
    return (*files, Path(own)) if own else tuple(files)


def pip_options(files: Iterable[Path]) -> dict[str, str]:
    """Return the options of `[global]` in `files`, the last one winning; what cannot be read is left out."""
    found: dict[str, str] = {}
    for file in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, configparser.Error):
            continue
        if parser.has_section("global"):
            found |= dict(parser.items("global"))
    return found
