"""nginx's configuration for one devpi server, or for a primary with replicas (nginx.org/en/docs)."""

from __future__ import annotations

import string
import textwrap
from dataclasses import dataclass
from importlib import resources

FAILURES = "max_fails=1 fail_timeout=10s"
"""One failed request, and for ten seconds a server gets no others."""
MARGIN = 60
"""Seconds that nginx waits on when devpi should have answered."""
BROWSERS = """
map $http_accept $forkbuilder_browser {
    default                                0;
    "~^text/html,application/xhtml[+]xml," 1;
}
"""


class _Template(string.Template):
    """`@@name`, because `$name` is nginx's own."""

    delimiter = "@@"


@dataclass(frozen=True, slots=True)
class Front:
    """What nginx is in front of.

    `listen` is its address or port; `primary` and `replicas` are what nginx takes behind `server`: `HOST:PORT` or
    `unix:PATH`. Without replicas the primary has the reads as well. `folder` is where nginx sees a server directory of
    devpi. `hold` is the longest time in seconds that devpi holds a request. `login` refuses everything to those who
    have not logged in, with devpi-lockdown. `joined` is a folder of files with further replicas, which may come and go:
    `readers.conf`, and `spare.conf` with the same ones as `backup`.
    """

    primary: str
    folder: str
    replicas: tuple[str, ...] = ()
    listen: str = "80"
    server_name: str = "_"
    hold: float = 900.0
    login: bool = False
    joined: str = ""


def site(front: Front) -> str:
    """Upstreams, maps and the server, for nginx's `http` block."""
    primary = (front.primary,)
    readers, spare = (_joined(front.joined, name) for name in ("readers", "spare"))
    return _template("nginx-site.conf").substitute(
        readers=(_servers(front.replicas, primary) if front.replicas else _servers(primary)) + readers,
        primary=_servers(primary),
        newest=_servers(primary, front.replicas) + spare,
        maps=BROWSERS if front.login else "",
        listen=front.listen,
        server_name=front.server_name,
        login=_template("nginx-login.conf").template if front.login else "",
        unauthorized="@forkbuilder_login" if front.login else "@forkbuilder_devpi",
        read_timeout=int(front.hold) + MARGIN,
        folder=_quoted(front.folder),
    )


def whole(front: Front) -> str:
    """A complete `nginx.conf` with the site in it."""
    lines = textwrap.indent(site(front).rstrip("\n"), "    ")
    return _template("nginx-whole.conf").substitute(site=lines)


def _servers(first: tuple[str, ...], spare: tuple[str, ...] = ()) -> str:
    """`spare` are asked when none of the first answers."""
    lines = [f"    server {one} {FAILURES};" for one in first]
    return "\n".join([*lines, *(f"    server {one} {FAILURES} backup;" for one in spare)])


def _joined(folder: str, name: str) -> str:
    """An include that is not a fault where there is no such file."""
    return f"\n    include {folder}/[{name[0]}]{name[1:]}.conf;" if folder else ""


def _quoted(text: str) -> str:
    """A string of nginx's; a dollar sign begins a variable there and cannot be written."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _template(name: str) -> _Template:
    return _Template((resources.files(__package__) / "templates" / name).read_text(encoding="utf-8"))
