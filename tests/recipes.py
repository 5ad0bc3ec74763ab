"""The recipes of docs/how-to/ci as data: the jobs of each provider's file, the shell text of each step, and what is set
around it. Expressions of the provider are put in here, so that a step can be run where there is no provider."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "how-to" / "ci"
BASH = ("bash", "--noprofile", "--norc")
STRICT = "set -eo pipefail\n"


@dataclass(frozen=True, slots=True)
class Step:
    """One shell text, the shell it is handed to, and its environment, in which the provider's expressions stand."""

    job: str
    script: str
    shell: tuple[str, ...]
    environment: Mapping[str, str]


def load(name: str) -> Any:
    """A YAML file of the folder (YAML 1.2: `on` is a word). Skips the test where there is no parser."""
    yaml = pytest.importorskip("ruamel.yaml", reason="ruamel.yaml is not installed (extra: test)")
    return yaml.YAML(typ="safe", pure=True).load((FOLDER / name).read_text(encoding="utf-8"))


def github(recipe: Mapping[str, Any]) -> Iterator[Step]:
    """Steps with `run`; GitHub's default shell is `bash -e`."""
    for name, job in recipe["jobs"].items():
        for step in job["steps"]:
            if "run" in step:
                given = {**recipe.get("env", {}), **job.get("env", {}), **step.get("env", {})}
                yield Step(name, step["run"], (*BASH, "-e"), _texts(given))


def gitlab(recipe: Mapping[str, Any]) -> Iterator[Step]:
    """`before_script` and `script` of a job are one shell text, which the runner begins with `set -eo pipefail`."""
    for name, job in recipe.items():
        if isinstance(job, dict) and "script" in job:
            whole = {**recipe.get(job.get("extends", ""), {}), **job}
            given = _texts({**recipe.get("variables", {}), **whole.get("variables", {})})
            lines = [*whole.get("before_script", ()), *whole["script"]]
            yield Step(name, STRICT + "\n".join(lines), BASH, given)
            if "after_script" in whole:
                yield Step(name, STRICT + "\n".join(whole["after_script"]), BASH, given)


def azure(recipe: Mapping[str, Any]) -> Iterator[Step]:
    """Steps with `bash`, which is not told to stop at an error; variables of the pipeline are in the environment."""
    for stage in _azure_stages(recipe["stages"]):
        for job in stage["jobs"]:
            given = {**_azure_variables(recipe.get("variables", ())), **_azure_variables(job.get("variables", ()))}
            for step in job["steps"]:
                if "bash" in step:
                    yield Step(job["job"], step["bash"], BASH, _texts({**given, **step.get("env", {})}))


def _azure_stages(listed: list[Any]) -> Iterator[Any]:
    """Stages, those under a template expression too."""
    for one in listed:
        if "stage" in one:
            yield one
        else:
            for inner in one.values():
                yield from _azure_stages(inner)


def _azure_variables(given: Any) -> dict[str, str]:
    if isinstance(given, dict):
        return given
    return {one["name"]: one["value"] for one in given if "name" in one}


def jenkins(text: str) -> Iterator[Step]:
    """The `sh` steps of a declarative Jenkinsfile, which run as `sh -xe`; `environment` blocks above hold for them.

    Not a parser of Groovy: it knows how this file is laid out, one block or step on a line.
    """
    open_blocks: list[tuple[str, dict[str, str]]] = []
    lines = iter(text.splitlines())
    for line in lines:
        words = line.strip()
        if words == "sh '''":
            script = []
            for inner in lines:
                if inner.strip() == "'''":
                    break
                script.append(inner.strip())
            yield _jenkins_step(open_blocks, "\n".join(script))
        elif words.startswith("sh '"):
            yield _jenkins_step(open_blocks, words.removeprefix("sh '").removesuffix("'"))
        elif words.endswith("{"):
            open_blocks.append((words.removesuffix("{").strip(), {}))
        elif words == "}":
            name, inside = open_blocks.pop()
            if name == "environment":
                open_blocks[-1][1].update(inside)
        elif " = " in words and open_blocks and open_blocks[-1][0] == "environment":
            key, _, value = words.partition(" = ")
            open_blocks[-1][1][key] = value.partition(" // ")[0].strip("'\"")


def _jenkins_step(blocks: list[tuple[str, dict[str, str]]], script: str) -> Step:
    given = {key: value for _, inside in blocks for key, value in inside.items()}
    (stage, *_) = [name for name, _ in reversed(blocks) if name.startswith("stage")]
    return Step(stage.split("'")[1], script.replace("\\\\", "\\"), ("sh", "-xe"), given)


def _texts(given: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in given.items()}


RECIPES = {
    "github-actions.yml": lambda: list(github(load("github-actions.yml"))),
    "gitlab-ci.yml": lambda: list(gitlab(load("gitlab-ci.yml"))),
    "azure-pipelines.yml": lambda: list(azure(load("azure-pipelines.yml"))),
    "Jenkinsfile": lambda: list(jenkins((FOLDER / "Jenkinsfile").read_text(encoding="utf-8"))),
}
"""File name to a function that reads its steps, in the order of the file."""

EXPRESSION = re.compile(r"\$\{\{ *(?P<github>[\w.]+) *\}\}|\$\((?P<azure>[\w.]+)\)|\$\{?(?P<plain>\w+)\}?")


def resolved(given: Mapping[str, str], known: Mapping[str, str], around: Mapping[str, str]) -> dict[str, str]:
    """An environment without expressions: those that `known` has, and those that name a variable of the environment.

    `around` is what the provider itself sets; it goes over what the file says.
    """
    found = {**given, **around}

    def value(match: re.Match[str]) -> str:
        name = match["github"] or match["azure"] or match["plain"]
        return known[name] if name in known else put_in(found[name])

    def put_in(text: str) -> str:
        return EXPRESSION.sub(value, text)

    return {name: put_in(text) for name, text in found.items()}
