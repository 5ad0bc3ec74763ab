"""What a repository's URL may look like. Whether this server allows it is policy, and decided elsewhere.

The rules keep a URL from being read as an option, as a second line, or as another host by git, ssh or a log:
see the CVE list of git ("-" URLs, newline in credentials) and RFC 3986 for the syntax.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

SCHEMES = ("https", "ssh", "http", "file")
HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
PATH = re.compile(r"(?:/[A-Za-z0-9_.~+=,@%:-]+)+/?")
LONGEST = 2000
Problem = tuple[str, str]


def url_faults(url: str) -> list[Problem]:
    """(problem, fix) for everything that is wrong with `url`; an empty list when nothing is."""
    if len(url) > LONGEST:
        return [("the URL is too long", f"{LONGEST} characters are the most")]
    if (
        re.search(r"[\x00-\x20\x7f-\xff\\]", url)
        or not url.isascii()
        or re.search(r"%(?:[01][0-9a-f]|7f)", url, re.IGNORECASE)
    ):
        return [("the URL has a white space, control or non-ASCII character", "remove or percent-encode it")]
    try:
        parts = urlsplit(url)
        host, port = parts.netloc.rpartition("@")[2], parts.port
    except ValueError:
        return [("the URL cannot be parsed", "check its host and port")]
    if parts.scheme not in SCHEMES or "://" not in url:
        return [(f"scheme {parts.scheme!r} is not known", "use git+https, git+ssh, git+http or git+file")]
    return [*_login_faults(parts.scheme, parts.netloc), *_host_faults(parts.scheme, host, port), *_path_faults(url)]


def _login_faults(scheme: str, netloc: str) -> list[Problem]:
    login, at, _ = netloc.rpartition("@")
    if not at:
        return []
    if scheme != "ssh" or ":" in login:
        return [
            ("the URL has user info", "remove it: credentials belong in the server's --forkbuilder-credentials file")
        ]
    if not LOGIN.fullmatch(login):
        return [("the URL's login name is not plain", "use letters, digits, '.', '-' and '_'")]
    return []


def _host_faults(scheme: str, host: str, port: int | None) -> list[Problem]:
    if scheme == "file":
        return [("a file URL has a host", "write git+file:///path")] if host else []
    name = host.removesuffix(f":{port}") if port is not None else host
    if not HOST.fullmatch(name):
        return [(f"{name!r} is not a host name", "use letters, digits, '.' and '-'")]
    return []


def _path_faults(url: str) -> list[Problem]:
    parts = urlsplit(url)
    if parts.query or "?" in url:
        return [("the URL has a query", "remove it")]
    if not PATH.fullmatch(parts.path):
        return [("the URL has no plain path", "name the repository: https://host/org/name.git")]
    segments = parts.path.replace("%2e", ".").replace("%2E", ".").split("/")
    if ".." in segments or any(segment.startswith("-") for segment in segments):
        return [("the URL's path has a '..' or a part that begins with '-'", "write the plain path")]
    return []
