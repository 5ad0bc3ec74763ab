"""The CI recipes without running them: they parse, hold to the providers' schemas, keep secrets where they belong, and
the page quotes what is in the files. tests/functional/test_recipes.py runs their steps."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from devpi_forkbuilder.client.arguments import add_commands
from tests.recipes import FOLDER, RECIPES, Step, load

PAGE = FOLDER.parent / "ci.md"
SCHEMAS = {
    "github-actions.yml": ("vendor.github-workflows",),
    "gitlab-ci.yml": ("vendor.gitlab-ci", "--data-transform", "gitlab-ci", "--regex-variant", "nonunicode"),
    "azure-pipelines.yml": (
        "vendor.azure-pipelines",
        *("--data-transform", "azure-pipelines", "--regex-variant", "nonunicode"),
    ),
}
"""The arguments that check-jsonschema's own pre-commit hooks give for these files."""
SECRETS = re.compile(r"\w*(PASSWORD|PSW|NETRC|TOKEN)\b")
FILES = sorted(path for path in FOLDER.iterdir() if path.is_file())


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", SCHEMAS)
def test_recipe__holds_to_its_providers_schema(name: str) -> None:
    if importlib.util.find_spec("check_jsonschema") is None:
        pytest.skip("check-jsonschema is not installed (extra: test)")
    done = run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", *SCHEMAS[name], str(FOLDER / name))
    assert done.returncode == 0, done.stdout + done.stderr


def test_recipe__the_schema_check_can_fail(tmp_path: Path) -> None:
    if importlib.util.find_spec("check_jsonschema") is None:
        pytest.skip("check-jsonschema is not installed (extra: test)")
    wrong = tmp_path / "wrong.yml"
    wrong.write_text((FOLDER / "github-actions.yml").read_text().replace("runs-on:", "runs-om:"))
    schema = SCHEMAS["github-actions.yml"]
    assert run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", *schema, str(wrong)).returncode == 1


def test_jenkinsfile__is_groovy_without_errors() -> None:
    linter = shutil.which("npm-groovy-lint")
    if linter is None:
        pytest.skip("npm-groovy-lint, which parses Groovy, is not on PATH")
    done = run(linter, "--failon", "error", "--no-insight", str(FOLDER / "Jenkinsfile"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_jenkinsfile__blocks_are_closed_and_those_of_a_declarative_pipeline() -> None:
    text = re.sub(r"'''.*?'''|//[^\n]*", "", (FOLDER / "Jenkinsfile").read_text(), flags=re.DOTALL)
    assert text.count("{") == text.count("}")
    known = {"pipeline", "options", "parameters", "environment", "stages", "stage", "steps", "when", "post", "always"}
    opened = set(re.findall(r"^ *(\w+)(?:\([^)]*\))? *\{$", text, re.MULTILINE))
    assert opened <= known | {"parallel"}
    assert {"pipeline", "stages", "steps"} <= opened


@pytest.mark.parametrize("name", RECIPES)
def test_steps__are_found(name: str) -> None:
    steps = RECIPES[name]()
    scripts = "\n".join(step.script for step in steps)
    assert len(steps) > 3
    for words in (
        "forks check --strict",
        "forks pin --yes --build --wait",
        "forks freeze",
        "pip install --require-hashes",
    ):
        assert words in scripts, words


@pytest.mark.parametrize("name", RECIPES)
def test_steps__are_shell(name: str) -> None:
    for step in RECIPES[name]():
        done = run(step.shell[0], "-n", "-c", step.script)
        assert done.returncode == 0, f"{step.job}: {done.stderr}"


@pytest.mark.parametrize("name", RECIPES)
def test_steps__hold_no_expression_of_the_provider(name: str) -> None:
    """What a provider puts into the text of a script can be shell of somebody who opened a pull request."""
    for step in RECIPES[name]():
        assert "${{" not in step.script, step.script
        assert not re.search(r"\$\((?!\()[\w.]+\)", step.script), step.script


@pytest.mark.parametrize("name", RECIPES)
def test_secrets__are_in_no_command_line(name: str) -> None:
    """`printf` and `[` are built into the shell: what they are given is in no process list."""
    for step in RECIPES[name]():
        for line in step.script.splitlines():
            if re.search(r'"\$\{?' + SECRETS.pattern, line) and "rm -rf" not in line:
                assert re.match(r"(printf|\[|\(umask 077 && printf) ", line.strip()), line


@pytest.mark.parametrize("name", RECIPES)
def test_steps__ask_nobody(name: str) -> None:
    """pip asks for a login where it is refused, and ends with a traceback where nobody answers."""
    for step in RECIPES[name]():
        if "pip install" in step.script:
            assert step.environment.get("PIP_NO_INPUT") == "1", step.job


@pytest.mark.parametrize("dockerfile", sorted(FOLDER.glob("Dockerfile.*")), ids=lambda path: path.name)
def test_dockerfiles__ask_nobody_and_keep_no_address(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    assert "PIP_NO_INPUT=1" in text
    assert not re.search(r"^ENV ", text, re.MULTILINE)


@pytest.mark.parametrize("name", RECIPES)
def test_secrets__of_who_writes_are_given_to_one_job_alone(name: str) -> None:
    def writers(step: Step) -> bool:
        return bool(re.search("PASSWORD|PSW", step.script)) or "FORKS_PASSWORD" in step.environment

    assert {step.job.lower() for step in RECIPES[name]() if writers(step)} == {"pin"}


def test_github__a_token_that_only_reads_and_writers_by_hand_alone() -> None:
    recipe = load("github-actions.yml")
    assert recipe["permissions"] == {"contents": "read"}
    pin = recipe["jobs"]["pin"]
    assert "workflow_dispatch" in pin["if"]
    assert "refs/heads/main" in pin["if"]
    assert all("FORKS_PASSWORD" not in str(job) for name, job in recipe["jobs"].items() if name != "pin")


def test_gitlab__a_service_of_another_name_is_trusted_without_tls() -> None:
    """pip takes plain HTTP from localhost alone."""
    job: Any = load("gitlab-ci.yml")["test-warmed"]
    (service,) = job["services"]
    assert f"http://{service['alias']}:3141/" in job["variables"]["PIP_INDEX_URL"]
    assert job["variables"]["PIP_TRUSTED_HOST"] == service["alias"]


def test_commands__are_as_the_client_takes_them() -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_commands(parser)
    scripts = "\n".join(step.script for name in RECIPES for step in RECIPES[name]())
    used = re.findall(r"devpi forks (\w[^>|\n]*)", scripts)
    assert {words.split()[0] for words in used} == {"check", "freeze", "pin"}
    for words in used:
        parser.parse_args(shlex.split(words))


def test_dockerfiles__hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = run(hadolint, *map(str, sorted(FOLDER.glob("Dockerfile.*"))))
    assert not done.returncode, done.stdout


# The page


def fences() -> list[tuple[str, str]]:
    """Language and text of each fenced block of the page."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_page__links_and_quotes_each_file(path: Path) -> None:
    assert f"](ci/{path.name})" in PAGE.read_text(encoding="utf-8")
    assert any(_is_in(text, path) for _, text in fences()), f"nothing of {path.name} is quoted"


@pytest.mark.parametrize("language", ["yaml", "groovy", "dockerfile"])
def test_page__quotes_are_in_a_file(language: str) -> None:
    quotes = [text for found, text in fences() if found == language]
    assert quotes
    for quote in quotes:
        assert any(_is_in(quote, path) for path in FILES), f"in no file:\n{quote}"


def _is_in(quote: str, path: Path) -> bool:
    """Whole lines that follow each other in the file, whatever their common indentation."""
    wanted = textwrap.dedent(quote).rstrip("\n")
    lines, length = path.read_text(encoding="utf-8").splitlines(), wanted.count("\n") + 1
    windows = ("\n".join(lines[start : start + length]) for start in range(len(lines) - length + 1))
    return any(textwrap.dedent(window) == wanted for window in windows)
