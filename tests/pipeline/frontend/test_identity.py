"""Names that only a build back end knows, computed from real repositories."""

from __future__ import annotations

from pathlib import Path

import pytest

from devpi_forkbuilder.domain.requirements_files.project_identity import Identity
from devpi_forkbuilder.errors import BuildError, SourceError
from devpi_forkbuilder.pipeline.sandbox.probe import choose_tier
from tests.pipeline.benches import Follower, order, wheel_builder

HOOKED = """\
import os, sys
from pathlib import Path
def build_wheel(directory, config_settings=None, metadata_directory=None):
    sys.exit("nobody asked for a wheel")
def prepare_metadata_for_build_wheel(directory, config_settings=None):
    print("not the answer")
    info = Path(directory, "x-1.dist-info")
    info.mkdir()
    (info / "METADATA").write_text(Path("METADATA.in").read_text())
    return info.name
"""
TABLE = '[build-system]\nrequires = []\nbuild-backend = "hooked"\nbackend-path = ["."]\n'
METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: not-this\n"


def hooked(repositories, name="Called-This", version="1.0.2", at=""):
    text = METADATA.format(name=name, version=version)
    files = {f"{at}hooked.py": HOOKED, f"{at}pyproject.toml": TABLE, f"{at}METADATA.in": text}
    return repositories.make("inline", name="unsaid", files=files)


def pinned(fork, more=""):
    """The order of the fork under a name that is not its own."""
    return order(f"git+{fork.file_url}@{fork.commit}#egg=unnamed{more}")


def test_identify__asks_the_back_end_without_building(tmp_path, repositories):
    shop = wheel_builder(tmp_path)
    assert shop.identify(pinned(hooked(repositories)), Follower()) == Identity("Called-This", "1.0.2")
    assert list((tmp_path / "builds").iterdir()) == []


def test_identify__in_a_subdirectory_and_with_a_version_that_is_none(tmp_path, repositories):
    fork = hooked(repositories, version="odd version", at="packages/x/")
    found = wheel_builder(tmp_path).identify(pinned(fork, "&subdirectory=packages/x"), Follower())
    assert found == Identity("Called-This", "odd version")


def test_identify__a_back_end_without_the_hook_builds_its_wheel(tmp_path, repositories):
    found = wheel_builder(tmp_path).identify(pinned(repositories.make("inline")), Follower())
    assert found == Identity("inline", "1.0.2")


@pytest.mark.parametrize("name", ["", "../../etc", "a b", "x" * 5000 + "/"])
def test_identify__a_name_that_is_none_is_refused(tmp_path, repositories, name):
    with pytest.raises(BuildError, match="without a valid project name"):
        wheel_builder(tmp_path).identify(pinned(hooked(repositories, name=name)), Follower())
    assert list((tmp_path / "builds").iterdir()) == []


def test_identify__what_fails_says_why(tmp_path, repositories):
    with pytest.raises(BuildError, match="ended with status"):
        wheel_builder(tmp_path).identify(pinned(repositories.make("fails")), Follower())
    gone = order(f"git+{repositories.make('inline').file_url}@{'0' * 40}#egg=unnamed")
    with pytest.raises(SourceError):
        wheel_builder(tmp_path).identify(gone, Follower())


def test_identify__code_of_the_project_runs_in_the_sandbox(tmp_path: Path, repositories):
    outside = tmp_path / "outside"
    outside.mkdir()
    reach = HOOKED.replace("    info.mkdir()", f"    info.mkdir()\n    Path({str(outside)!r}, 'here').write_text('x')")
    fork = hooked(repositories)
    repositories.commit(fork, {"hooked.py": reach})
    scratch = tmp_path / "builds"
    scratch.mkdir()
    shop = wheel_builder(tmp_path, sandbox=choose_tier("auto", scratch=scratch))
    with pytest.raises(BuildError, match="prepare_metadata_for_build_wheel"):
        shop.identify(pinned(fork), Follower())
    assert list(outside.iterdir()) == []
