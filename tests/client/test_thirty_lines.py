"""From a requirements file full of git lines to hashes, as a developer does it, with real parts throughout."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.client.shell import Shell
from tests.clients import Pip, Uv
from tests.devpi import ROOT_PASSWORD
from tests.live import Host, Live, upload
from tests.processes import Running
from tests.repositories import Repository
from tests.server.app import make_wheel
from tests.surroundings import clean_environment

pytestmark = pytest.mark.functional

NAMES = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda-x", "mu", "nu"),
    *("xi", "omicron", "pi-x", "rho", "sigma", "tau", "upsilon"),
)
GREEK = """\
# forks of the platform\r
git+{host}/alpha.git@{alpha}#egg=alpha==1.0.2\r
-e git+{host}/beta.git@{beta}#egg=beta==1.0.2\r
--editable git+{host}/gamma.git@v1#egg=gamma  # a tag\r
git+{host}/delta.git@main#egg=delta==1.0.2\r
git+{host}/epsilon.git#egg=epsilon\r
git+{host}/zeta.git@annotated#egg=zeta==1.0.2\r
\r
# the newer form\r
eta @ git+{host}/eta.git@{eta}\r
theta @ git+{host}/theta.git@v1 ; python_version >= "3"\r
iota[fast, more] @ git+{host}/iota.git@{iota}\r
kappa@git+{host}/kappa.git@refs/tags/v1\r
plain-wheel==1.0 --hash=sha256:{plain}\r
\r
# seen in the wild\r
git+{host}/lambda-x.git@{lambda_x}#lambda-x==1.0.2\r
git+{host}/mu.git@{mu}#egg=mu-dev\r
git+{host}/nu.git@{nu}#egg=nu[fast]==1.0.2\r
git+{host}/xi.git@{XI}#egg=xi=1.0.2\r
omicron==1.0.2 @ git+{host}/omicron.git@{omicron}\r
git+{host}/pi-x.git@{short}#egg=pi-x==1.0.2\r
rho @ \\\r
    git+{host}/rho.git@{rho}\r
nested @ git+{host}/nested.git@{nested}#subdirectory=packages/nested\r
git+{host}/local.git@{local}#egg=local==0.1.0+edx.2 ; python_version < "3"\r
\r
-r more/included.txt\r
-c more/constraints.txt"""
INCLUDED = """\
git+{host}/sigma.git@{sigma}#egg=sigma==1.0.2
git+{host}/tau.git@v1#egg=tau==1.0.2 ; python_version < "3"
"""
CONSTRAINTS = "upsilon @ git+{host}/upsilon.git@{upsilon}\n"
WRONG = """\
-r wrong.txt
git+{host}/alpha.git@{alpha}#egg=alpha==0.0.5-edx
git+{host}/alpha.git@{beta}
"""


@pytest.fixture
def forks(host: Host) -> dict[str, Repository]:
    """A repository for each name, with a lightweight tag, some with an annotated one."""
    found = {name: host.repositories.make("inline", name=name, tag="v1", project=name) for name in NAMES}
    host.repositories.tag(found["zeta"], "annotated", annotated=True)
    found["local"] = host.repositories.make("inline", name="local", project="local", version="0.1.0+edx.2")
    found["nested"] = host.repositories.make("subdirectory", name="nested", project="nested")
    return found


@pytest.fixture
def file(forks: dict[str, Repository], host: Host, live: Live, index: str, shell: Shell) -> Path:
    """The file of thirty lines, what it includes beside it, and the one ordinary wheel of it on the index."""
    wheel = make_wheel(shell.folder, "plain-wheel", "1.0")
    live.server.as_user("root", ROOT_PASSWORD)
    upload(live.server, index, wheel, "plain-wheel", "1.0").check()
    values = {name.replace("-", "_"): fork.commit for name, fork in forks.items()}
    values |= {"host": host.git.url, "XI": forks["xi"].commit.upper(), "short": forks["pi-x"].commit[:9]}
    values["plain"] = hashlib.sha256(wheel.read_bytes()).hexdigest()
    shell.write("more/included.txt", INCLUDED.format(**values))
    shell.write("more/constraints.txt", CONSTRAINTS.format(**values))
    shell.write("wrong.txt", WRONG.format(**values))
    return shell.write("github.txt", "\ufeff" + GREEK.format(**values))


@pytest.mark.slow
@pytest.mark.network
def test_thirty_lines__from_git_to_hashes(
    file: Path, index: str, live: Live, shell: Shell, pip_new: Pip, uv: Uv, tmp_path: Path
) -> None:
    text, mode = file.read_bytes(), file.stat().st_mode
    assert len((GREEK + INCLUDED + CONSTRAINTS).splitlines()) >= 30

    wrong = shell.forks("check", "-r", "github.txt", "-r", "wrong.txt")
    assert wrong.returncode == 1
    assert "wrong.txt:2: '0.0.5-edx' is not a version" in wrong.stderr
    assert "write 0.0.5+edx" in wrong.stderr
    assert "wrong.txt:3: no project name" in wrong.stderr
    checked = shell.forks("check", "-r", "github.txt").check()
    assert "github.txt:17: #lambda-x==1.0.2 has no egg=" in checked.stderr
    assert "no faults" in checked.stdout

    pinned = shell.forks("pin", "-r", "github.txt", "--yes").check()
    assert len(re.findall(r"^new ", pinned.stdout, re.MULTILINE)) == 22, pinned.output
    again = shell.forks("pin", "-r", "github.txt", "--yes", "--json").check()
    assert json.loads(again.stdout)["stored"] is False
    assert file.read_bytes() == text

    early = shell.forks("freeze", "-r", "github.txt")
    assert early.returncode == 1
    assert re.search(r"^22 pins have no file on the index: alpha==1\.0\.2, ", early.stderr, re.MULTILINE), early.stderr
    assert "'devpi forks build --all --wait' builds them" in early.stderr
    assert early.stderr.count("\n") == 1
    assert early.stdout == ""

    built = shell.forks("build", "--all", "--wait").check()
    assert built.stdout.count(": built") == 22, built.output

    printed = shell.forks("freeze", "-r", "github.txt").check()
    assert file.read_bytes() == text
    shell.forks("freeze", "-r", "github.txt", "--in-place").check()
    frozen = file.read_bytes().decode()
    assert frozen == printed.stdout
    assert "git+" not in frozen + (file.parent / "more" / "included.txt").read_text()
    comments = [line for line in text.decode().splitlines() if line.startswith("#") and "egg" not in line]
    assert [line for line in frozen.splitlines() if line.startswith("#")] == comments
    assert frozen.count("\r\n") == frozen.count("\n")
    assert frozen.startswith("\ufeff")
    assert re.search(
        r'^theta==1\.0\.2\+\d{14}\.g[0-9a-f]{12} ; python_version >= "3" --hash=sha256:\w{64}\r$', frozen, re.MULTILINE
    )

    no_git = {"PATH": str(tmp_path / "nothing")}
    for installer in (pip_new, uv):
        target = tmp_path / installer.name
        arguments = ["--require-hashes", "-r", str(file)]
        installer.install(live.url(index), arguments=arguments, target=target, environment=no_git).check()
        here = {entry.name.partition("-")[0] for entry in target.glob("*.dist-info")}
        assert {"alpha", "zeta", "nested", "rho", "sigma", "plain_wheel"} <= here
        assert not here & {"tau", "local"}, "their markers say no"

    compiled = uv.run("compile", str(file), "--generate-hashes", "--no-header", "--default-index", live.url(index))
    assert "alpha==1.0.2+" in compiled.wait(60).check().stdout
    assert file.stat().st_mode == mode

    (version,) = re.findall(r"^alpha(==\S+)", frozen, re.MULTILINE)
    project = f'[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["alpha{version}"]\n'
    lock = shell.write("project/pyproject.toml", project).parent
    command = [find_uv_bin(), "lock", "--directory", str(lock), "--default-index", live.url(index)]
    Running(command, clean_environment(shell.home, UV_CACHE_DIR=str(tmp_path / "uv")), lock, None).wait(60).check()
    assert re.search(r"alpha-1\.0\.2\S+\.whl.*hash = \"sha256:", (lock / "uv.lock").read_text())
