"""What `doctor` asks an index over HTTP: whether it is there, has this plugin, and can give what builds require."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from devpi_forkbuilder.commands.doctor.cachevisit import DEFAULT_PATIENCE, DEFAULT_WAIT, judge_patience, upstream_of
from devpi_forkbuilder.commands.doctor.findings import Finding, Verdict
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.errors import ForkbuilderError

TIMEOUT = 20.0
MOST = 64 * 1024 * 1024
LOOPBACK = ("localhost", "127.0.0.1", "::1")
SIMPLE = "application/vnd.pypi.simple.v1+json"
MOST_BASES = 20
"""The most indexes below an index that are looked at."""
REQUIREMENT = "setuptools"
"""What nearly every build requires."""


@dataclass(frozen=True, slots=True)
class IndexAnswer:
    """A status (0: there was no answer), the JSON document if there was one, and what went wrong otherwise."""

    status: int
    document: Any = None
    trouble: str = ""


def visit(url: str, patience: int = DEFAULT_PATIENCE, wait: float = DEFAULT_WAIT) -> tuple[Finding, ...]:
    """The findings about the index at `url` (`http://HOST/USER/NAME`, with or without `/+simple/`).

    Seconds: `patience` is the server's with an upstream, `wait` is for how long an upstream holds a request.
    """
    try:
        base = _base(url)
    except ValueError as fault:
        return (Finding.failed("index", str(fault), "Write http://HOST/USER/NAME."),)
    answer = ask(f"{base}/+api")
    finding = judge_server(base, answer) if answer.status != 503 else None
    unhealthy = judge_health(ask(f"{_root(base)}/+forkbuilder/ready"))
    if finding is not None or (answer.status == 503 and unhealthy):
        return (finding, *unhealthy) if finding is not None else unhealthy
    return (*unhealthy, *_visited(base, patience, wait))


def pinned_at(url: str) -> tuple[str, ...]:
    """The repositories that the index at `url` pins, as its configuration has them; none when it does not tell."""
    try:
        config = ask(f"{_base(url)}?no_projects=").document
    except ValueError:
        return ()
    lines = _at(config, "result", "forks")
    found = []
    for line in lines if isinstance(lines, list) else []:
        with contextlib.suppress(ForkbuilderError):
            found.append(Pin.parse(str(line)).url)
    return tuple(found)


def _visited(base: str, patience: int, wait: float) -> tuple[Finding, ...]:
    upstream = upstream_of(ask(f"{base}?no_projects=").document)
    if upstream is not None:
        finding = Finding.ok("index", f"{base} answers; it is a cache of {upstream}")
        return (finding, judge_patience(upstream, patience, wait))
    finding = judge_forks(base, ask(f"{base}/+forks"))
    requirements = judge_requirements(ask(f"{base}/+cached/{REQUIREMENT}/"))
    if requirements.state is not Verdict.OK:
        requirements = judge_mirrors(mirrors_of(base)) or requirements
    return (finding, requirements)


def judge_server(base: str, answer: IndexAnswer) -> Finding | None:
    """Why what answered is not a devpi server with this plugin, or None."""
    if not answer.status:
        fix = "Start the server, or check the way to it: address, port, proxy, certificate."
        return Finding.failed("index", f"{base} cannot be reached: {answer.trouble}.", fix)
    if answer.status in {401, 403}:
        return _closed(base, answer.status)
    features = _at(answer.document, "result", "features")
    if not isinstance(features, list):
        fix = "Give the URL of an index: http://HOST/USER/NAME."
        return Finding.failed("index", f"{base} answers {answer.status}, and not as a devpi server does.", fix)
    if "forkbuilder" not in features:
        fix = "Install 'devpi-forkbuilder[server]' beside that devpi-server and restart it."
        return Finding.failed("index", f"The devpi server of {base} runs without this plugin.", fix)
    return None


def judge_health(answer: IndexAnswer) -> tuple[Finding, ...]:
    """What the server itself says of its health; nothing where it does not say it."""
    checks = _at(answer.document, "result", "checks")
    if not isinstance(checks, list):
        return ()
    messages = [str(_at(check, "message")) for check in checks if _at(check, "ok") is False]
    fix = "Fix what it names; recreate a replica whose history differs."
    return tuple(Finding.failed("health", text, fix) for text in messages)


def judge_forks(base: str, answer: IndexAnswer) -> Finding:
    """The index and the states of its forks."""
    if answer.status in {401, 403}:
        return _closed(base, answer.status)
    states = _at(answer.document, "result")
    if answer.status != 200 or not isinstance(states, list):
        said = _at(answer.document, "message") or answer.trouble or f"it answers {answer.status}"
        return Finding.failed(
            "index", f"{base} is not an index of forks: {said}", "devpi index -c NAME type=forkbuilder"
        )
    counts = Counter(str(_at(state, "state")) for state in states)
    messages = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "none pinned yet"
    if counts["failed"]:
        return Finding.warning("index", f"{base} answers; forks: {messages}", f"{base}/+forks says why they failed.")
    return Finding.ok("index", f"{base} answers; forks: {messages}")


def mirrors_of(base: str) -> tuple[str, ...]:
    """The URLs that the mirrors among the bases of an index read, without user info; those that may be looked at."""
    parts = urlsplit(base)
    root, index = f"{parts.scheme}://{parts.netloc}", "/".join(parts.path.strip("/").split("/")[-2:])
    prefix = parts.path.strip("/").removesuffix(index)
    waiting, seen, found = [index], {index}, list[str]()
    while waiting and len(seen) <= MOST_BASES:
        config = _at(ask(f"{root}/{prefix}{waiting.pop(0)}?no_projects=").document, "result")
        url, bases = _at(config, "mirror_url") or _at(config, "remote_url"), _at(config, "bases")
        if isinstance(url, str):
            its = urlsplit(url)
            found.append(urlunsplit((its.scheme, its.netloc.rpartition("@")[2], its.path.rstrip("/"), "", "")))
        new = [str(name) for name in bases if name not in seen] if isinstance(bases, list) else []
        seen.update(new)
        waiting += new
    return tuple(dict.fromkeys(found))


def judge_mirrors(urls: Iterable[str]) -> Finding | None:
    """The first public index that gives no page of `REQUIREMENT`, with its host and the cause; None when all do."""
    for url in urls:
        answer = ask(f"{url}/{REQUIREMENT}/")
        if answer.status == 200:
            continue
        host = urlsplit(url).netloc
        cause = answer.trouble or f"it answers {answer.status}"
        what = f"The public index at {host} gives no page of {REQUIREMENT}: {cause}."
        fix = f"See that the server reaches {url} (name resolution, proxy, certificates); builds are tried again then."
        return Finding.failed("requirements", what, fix)
    return None


def judge_requirements(answer: IndexAnswer) -> Finding:
    """Whether builds find through this index what they require."""
    files = _at(answer.document, "files")
    if answer.status == 200 and isinstance(files, list) and files:
        return Finding.ok("requirements", f"{REQUIREMENT} is found through the index")
    if answer.status == 404:
        what = f"The index has no {REQUIREMENT}, and none of its bases: builds may find nothing that they require."
        return Finding.warning("requirements", what, "Give it a base with public projects: bases=root/pypi.")
    what = f"Builds cannot get {REQUIREMENT} through the index: {answer.trouble or f'it answers {answer.status}'}."
    return Finding.failed("requirements", what, "See that the server reaches the mirror_url of its bases.")


def ask(url: str) -> IndexAnswer:
    """GET `url`; never raises for what a server or a network does."""
    request = urllib.request.Request(url, headers={"Accept": f"{SIMPLE}, application/json"})  # noqa: S310  (http only)
    try:
        with _opener(url).open(request, timeout=TIMEOUT) as response:
            return _answer(response.status, response.read(MOST))
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error.read(MOST))
    except (OSError, HTTPException) as error:
        return IndexAnswer(0, trouble=str(getattr(error, "reason", None) or error or type(error).__name__))


def _opener(url: str) -> urllib.request.OpenerDirector:
    """No proxy stands between this machine and itself."""
    direct = urlsplit(url).hostname in LOOPBACK
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if direct else []))


def _answer(status: int, body: bytes) -> IndexAnswer:
    try:
        return IndexAnswer(status, json.loads(body))
    except (ValueError, RecursionError):
        return IndexAnswer(status)


def _base(url: str) -> str:
    """The index's own URL. Raises ValueError with a sentence that repeats nothing of a login."""
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("The index's URL has user info: leave it out, this check does not log in.")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{url!r} is not an index's URL.")
    path = parts.path.rstrip("/").removesuffix("/+simple").removesuffix("/+cached")
    if len(path.split("/")) < 3:
        raise ValueError(f"{url!r} names no index.")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _root(base: str) -> str:
    parts = urlsplit(base)
    return f"{parts.scheme}://{parts.netloc}" + "/".join(parts.path.split("/")[:-2])


def _closed(base: str, status: int) -> Finding:
    fix = "Give the permission pkg_read to the users that install, or run this as one of them."
    return Finding.warning("index", f"{base} is there, but not for everybody: it answers {status}.", fix)


def _at(document: Any, *path: str) -> Any:
    found = document
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found
