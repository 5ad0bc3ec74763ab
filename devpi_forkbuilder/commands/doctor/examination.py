"""What `doctor` looks at on this machine: each check gives findings and raises nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from devpi_forkbuilder.commands.doctor.cachevisit import patience
from devpi_forkbuilder.commands.doctor.findings import Finding
from devpi_forkbuilder.commands.doctor.hostvisit import check_network
from devpi_forkbuilder.commands.doctor.indexvisit import pinned_at, visit
from devpi_forkbuilder.commands.trial import must_read, scratch_of
from devpi_forkbuilder.errors import ForkbuilderError
from devpi_forkbuilder.options import Options
from devpi_forkbuilder.pipeline.frontend.interpreters import Interpreters
from devpi_forkbuilder.pipeline.git.credential_files import CredentialFiles
from devpi_forkbuilder.pipeline.git.credential_helper import parse
from devpi_forkbuilder.pipeline.process.disk_space import check_space
from devpi_forkbuilder.pipeline.process.environment import search_path
from devpi_forkbuilder.pipeline.process.extra_tools import ToolFolders
from devpi_forkbuilder.pipeline.process.network_settings import with_network_settings
from devpi_forkbuilder.pipeline.process.open_files import ENOUGH, hard_limit
from devpi_forkbuilder.pipeline.process.programs import find_git, find_uv
from devpi_forkbuilder.pipeline.sandbox.cgroup_survey import CONTROLLERS, Survey, survey
from devpi_forkbuilder.pipeline.sandbox.open_place import closed_part
from devpi_forkbuilder.pipeline.sandbox.probe import AUTO, NONE, TierProbe, report_tier

UID = "uid"


def examine(
    options: Options, index_url: str | None, environ: Mapping[str, str], request_timeout: int | None = None
) -> tuple[Finding, ...]:
    """All checks, in the order in which a build meets what they look at; `request_timeout` (seconds) is devpi's."""
    path = search_path(environ)
    sandbox, tier = check_sandbox(options, path)
    closed = closed_part if tier == UID else lambda _prefix: None
    return (
        check_git(path),
        *check_uv(options, path, environ, closed),
        *check_tools(options),
        sandbox,
        judge_groups(survey()),
        *check_secrets(options, path),
        check_disk(options.folder),
        check_open_files(hard_limit()),
        *check_network(
            options, with_network_settings(environ), _uv_of(path), pinned_at(index_url) if index_url else ()
        ),
        *(visit(index_url, patience(request_timeout, environ), options.wait) if index_url else ()),
    )


def _uv_of(path: str) -> Path | None:
    try:
        return find_uv(path).path
    except ForkbuilderError:
        return None


def check_git(path: str) -> Finding:
    """git on `path` (as in PATH)."""
    try:
        git = find_git(path)
    except ForkbuilderError as error:
        return Finding.of_error("git", error)
    return Finding.ok("git", f"{git.version} at {git.path}")


def check_uv(
    options: Options, path: str, environ: Mapping[str, str], closed: Callable[[Path], Path | None]
) -> tuple[Finding, ...]:
    """uv, and the interpreters that it finds; `closed` gives the folder that keeps builds from reaching one."""
    try:
        uv = find_uv(path)
    except ForkbuilderError as error:
        return (Finding.of_error("uv", error),)
    downloads = options.folder / "pythons" if options.python_downloads else None
    server_targets = Interpreters(uv.path, environ, downloads, lambda prefix: closed(prefix) is None).server_targets()
    left_out = [
        f"{one.name} (in {closed(one.prefix)})" for one in Interpreters(uv.path, environ).all() if closed(one.prefix)
    ]
    found = Finding.ok("interpreters", str(server_targets))
    if left_out:
        what = f"{server_targets}; left out, since the users of builds cannot reach them: {', '.join(left_out)}."
        found = Finding.warning("interpreters", what, "Install interpreters where others can run them, as in /usr.")
    return (Finding.ok("uv", f"{uv.version} at {uv.path}"), found)


def check_tools(options: Options) -> tuple[Finding, ...]:
    """The folders of --forkbuilder-tools, if there are any."""
    try:
        folders = ToolFolders.judged(options.tools).folders
    except ForkbuilderError as error:
        return (Finding.of_error("tools", error),)
    return (Finding.ok("tools", ", ".join(map(str, folders))),) if folders else ()


def check_sandbox(options: Options, path: str) -> tuple[Finding, str]:
    """Which tier holds a program here, of those that the options allow; its name, empty when none does."""
    if options.sandbox == NONE:
        what = "Builds are not confined: a fork's build can do all that the server can."
        return Finding.warning("sandbox", what, "Leave --forkbuilder-sandbox out."), NONE
    try:
        with scratch_of(options.folder) as scratch:
            tiers = report_tier(scratch=scratch, readable=must_read(options), search_path=path)
    except ForkbuilderError as error:
        return Finding.of_error("sandbox", error), ""
    except OSError as error:
        what = f"The sandbox could not be tried below {options.folder}: {error.strerror}."
        return Finding.failed("sandbox", what, "Run this as the server's user, with the server's --serverdir."), ""
    taken = next((one.tier for one in tiers if one.ok and options.sandbox in {AUTO, one.tier}), "")
    return judge_sandbox(options.sandbox, tiers), taken


def judge_sandbox(wanted: str, tiers: Sequence[TierProbe]) -> Finding:
    """The finding for what `probe.report` has shown of the tiers, strongest first."""
    if wanted != AUTO:
        tiers = [one for one in tiers if one.tier == wanted]
    taken = next((one for one in tiers if one.ok), None)
    if taken is None:
        reasons = " ".join(f"{one.tier}: {one.reason}" for one in tiers)
        return Finding.failed("sandbox", "Builds cannot be confined here, so none is run.", reasons)
    name = f"{taken.tier}: {taken.origin}" if taken.origin else taken.tier
    stronger = tiers[: list(tiers).index(taken)]
    if stronger:
        reasons = " ".join(f"{one.tier}: {one.reason}" for one in stronger)
        return Finding.warning("sandbox", f"{name}; a stronger tier does not work here.", reasons)
    return Finding.ok("sandbox", name)


def judge_groups(found: Survey) -> Finding:
    """Whether limits hold for whole builds. That they hold for each process alone is not a fault."""
    bounded = [name for name in CONTROLLERS if any(name in place.controllers for place in found.places)]
    words = {"memory": "memory", "pids": "processes"}
    if not bounded:
        return Finding.ok("cgroup", "limits hold for each process of a build, not for all of them together")
    what = f"limits of {' and '.join(words[name] for name in bounded)} hold for a whole build"
    others = [words[name] for name in CONTROLLERS if name not in bounded]
    return Finding.ok("cgroup", f"{what}, of {others[0]} for each process" if others else what)


def check_secrets(options: Options, path: str) -> tuple[Finding, ...]:
    """The files that the options name for git hosts. What is in them never gets into a finding."""
    credentials, key, hosts = options.credentials, options.ssh_key, options.known_hosts
    found = []
    if credentials is not None:
        found.append(_closed("credentials", CredentialFiles(credentials_file=credentials)) or _credentials(credentials))
    if key is not None:
        found.append(_closed("ssh-key", CredentialFiles(ssh_key=key)) or Finding.ok("ssh-key", str(key)))
    if hosts is not None:
        found.append(_closed("known-hosts", CredentialFiles(known_hosts=hosts)) or _hosts(hosts))
    if (key or hosts) and shutil.which("ssh", path=path) is None:
        found.append(Finding.failed("ssh", "ssh is not installed on the server.", "Install it (openssh-client)."))
    return tuple(found)


def check_open_files(limit: int | None) -> Finding:
    """How many files a server may open here; None: any number. `up` takes as many as it may."""
    if limit is None or limit >= ENOUGH:
        return Finding.ok("open-files", "no limit" if limit is None else f"{limit} allowed")
    what = f"A process may open {limit} files here: {ENOUGH} are needed for 512 connections and builds."
    return Finding.warning("open-files", what, "Raise the hard limit: ulimit -Hn, or LimitNOFILE= of the service.")


def check_disk(folder: Path) -> Finding:
    """Space below `folder`, and whether this user may write there."""
    place = _existing(folder)
    if not os.access(place, os.W_OK | os.X_OK):
        return Finding.failed(
            "disk", f"This user may not write in {place}.", f"Change its owner: chown -R USER {place}."
        )
    try:
        check_space(place)
    except ForkbuilderError as error:
        return Finding.of_error("disk", error)
    return Finding.ok("disk", f"{shutil.disk_usage(place).free / (1 << 30):.1f} GiB free at {place}")


def _closed(name: str, access: CredentialFiles) -> Finding | None:
    """Why the server will not use the file, or None."""
    try:
        access.check()
    except ForkbuilderError as error:
        return Finding.of_error(name, error)
    return None


def _credentials(path: Path) -> Finding:
    """git-credential-store(1): a URL with user and password in each line."""
    found, odd = parse(path.read_text(encoding="utf-8", errors="replace"))
    if odd:
        what = f"Lines of {path} that are not credentials: {', '.join(map(str, odd))}."
        return Finding.failed("credentials", what, "Write https://USER:PASSWORD@HOST, percent-encoded, on each line.")
    if not found:
        return Finding.warning("credentials", f"{path} is empty.", "Write https://USER:PASSWORD@HOST into it.")
    hosts = sorted({"/".join((one.host, *one.path)) for one in found})
    return Finding.ok("credentials", f"{path} has a login for {', '.join(hosts)}")


def _hosts(path: Path) -> Finding:
    lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    if not lines:
        fix = f"Add keys that you have compared with what the host publishes: ssh-keyscan HOST >> {path}"
        return Finding.warning("known-hosts", f"{path} is empty: no ssh host will be connected to.", fix)
    return Finding.ok("known-hosts", f"{path} has {len(lines)} lines")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there and can be looked at."""
    # not Path.exists, which raises PermissionError before Python 3.14
    return next(place for place in (folder, *folder.parents) if os.access(place, os.F_OK))
