"""What a server without a farm, and a worker without a server, have to have installed."""

from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

from devpi_forkbuilder.commands import worker
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.options import Options, add_options
from tests.postgres import why_no_farm

WITHOUT_SERVER = """\
import sys

SERVER = {"devpi", "devpi_common", "devpi_server", "devpi_web", "pyramid", "webob", "waitress", "cachetools", "rich"}


class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in SERVER:
            raise ModuleNotFoundError(f"a worker imports {name}", name=name)


sys.meta_path.insert(0, Refused())
import devpi_forkbuilder.commands.main as main
import devpi_forkbuilder.equipment
import devpi_forkbuilder.farm.engine
import devpi_forkbuilder.farm.worker
main.main(["worker", "--help"])
"""
PLAIN = """\
import sys
import devpi_forkbuilder.plugin
import devpi_forkbuilder.commands.main
sys.exit(str([name for name in ("procrastinate", "psycopg", "asgiref") if name in sys.modules]))
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)


def test_server__without_a_farm_imports_nothing_of_it() -> None:
    assert run(PLAIN).stderr.strip().splitlines()[-1] == "[]"


@pytest.mark.skipif(why_no_farm() is not None, reason=why_no_farm() or "")
def test_worker__has_no_devpi_server() -> None:
    done = run(WITHOUT_SERVER)
    assert done.returncode == 0, done.stderr
    assert "--primary" in done.stdout


def test_worker__on_macos_wants_to_be_told_that_nothing_confines_builds() -> None:
    with pytest.raises(InfrastructureError, match="cannot be confined on Darwin") as refused:
        worker.judge_system("Darwin", "auto")
    assert "--forkbuilder-sandbox none" in refused.value.next_step
    worker.judge_system("Darwin", "none")
    worker.judge_system("Linux", "auto")


class Parser(argparse.ArgumentParser):
    def addgroup(self, _name: str) -> Parser:
        return self

    addoption = argparse.ArgumentParser.add_argument


@pytest.mark.parametrize(("words", "workers"), [([], None), (["--forkbuilder-farm", "postgresql://x/y"], 64)])
def test_options__more_may_be_out_than_this_machine_could_build(words: list[str], workers: int | None) -> None:
    import os  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    parser = Parser()
    add_options(parser)
    options = Options.read(parser.parse_args(words), Path("/srv"))
    assert options.workers == (workers or os.cpu_count())
    assert Options.read(parser.parse_args([*words, "--forkbuilder-workers", "3"]), Path("/srv")).workers == 3
