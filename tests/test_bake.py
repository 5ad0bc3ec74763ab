"""docker-bake.hcl, without buildx: it names targets, arguments and a file that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
BAKE = (ROOT / "docker-bake.hcl").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "compose" / "Dockerfile").read_text(encoding="utf-8")


def blocks() -> dict[str, str]:
    """The text of each target, by name."""
    return dict(re.findall(r'^target "(\w+)" \{\n(.*?)^\}', BAKE, re.MULTILINE | re.DOTALL))


def test_bake__targets_are_the_dockerfiles() -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE))
    built = {name: re.search(r'target\s*=\s*"(\w+)"', text) for name, text in blocks().items() if name != "common"}
    assert {name: found and found[1] for name, found in built.items()} == {"server": "server", "client": "client"}
    assert set(built) <= stages
    assert all('inherits = ["common"]' in blocks()[name] for name in built)
    grouped = re.search(r'group "default" \{ targets = \[(.*)\] \}', BAKE)
    assert grouped
    assert re.findall(r'"(\w+)"', grouped[1]) == list(built)


def test_bake__arguments_are_the_dockerfiles_and_have_values() -> None:
    arguments = dict(re.findall(r"^ {4}(\w+)\s*= (\w+)$", blocks()["common"], re.MULTILINE))
    assert arguments
    assert set(arguments) <= set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
    assert set(arguments.values()) <= set(re.findall(r'^variable "(\w+)"', BAKE, re.MULTILINE))


def test_bake__both_machines_with_sbom_and_provenance() -> None:
    common = blocks()["common"]
    assert 'dockerfile = "compose/Dockerfile"' in common
    for words in ("linux/amd64", "linux/arm64", "type=sbom", "type=provenance,mode=max"):
        assert f'"{words}"' in common
