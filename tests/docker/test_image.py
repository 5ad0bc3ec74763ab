"""What is in the images, and what is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.docker.engine import COMPOSE, ROOT, Engine, run

PROFILES = ("devstack", "cluster", "jenkins")
SECRET = "of-root-from-a-file"


def test_server__runs_as_nobody_special(engine: Engine, server_image: str) -> None:
    said = engine.out("run", "--rm", "--entrypoint", "sh", server_image, "-c", "id -u; ls -ld /data; touch /x || true")
    uid, folder, *_ = said.splitlines()
    assert uid == "10001"
    assert folder.startswith("drwxrwx---")
    assert "root" in folder
    assert engine.inspect_image(server_image)["Config"]["User"] == "10001:10001"
    assert list(engine.inspect_image(server_image)["Config"]["Volumes"]) == ["/data"]


def test_server__has_what_builds_need(engine: Engine, server_image: str) -> None:
    found = json.loads(engine.out("run", "--rm", server_image, "doctor", "--json"))
    failed = [one for one in found if one["state"] == "failed"]
    assert not failed
    (sandbox,) = (one for one in found if one["name"] == "sandbox")
    print(sandbox["what"])


NOT_MASKED = ("--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined")


@pytest.mark.parametrize(
    ("words", "tier"),
    [
        (("--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"), "landlock"),
        (("--user", "0:0", "-e", "FORKBUILDER_DIR=/var/lib/forkbuilder"), "uid"),
        (("--cap-drop", "ALL", *NOT_MASKED), "bwrap"),
        (("--user", "0:0", "--cap-drop", "ALL"), "landlock"),
    ],
)
def test_server__tiers_in_a_container(engine: Engine, server_image: str, words: tuple[str, ...], tier: str) -> None:
    found = json.loads(engine.docker("run", "--rm", *words, server_image, "doctor", "--json").stdout)
    (sandbox,) = (one for one in found if one["name"] == "sandbox")
    assert sandbox["what"].startswith(tier), sandbox


def test_images__sizes(engine: Engine, server_image: str, client_image: str) -> None:
    for image in (engine.base, server_image, client_image):
        print(f"{image}: {engine.size(image) / 1e6:.0f} MB")
    assert engine.size(server_image) < 450e6
    assert engine.size(client_image) < engine.size(server_image)


def test_server__takes_the_password_of_root_from_a_file(engine: Engine, server_image: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(SECRET + "\n")
    tmp_path.chmod(0o755)
    words = ["-e", "FORKBUILDER_ROOT_PASSWORD_FILE=/run/password", "-v", f"{file}:/run/password:ro"]
    container = engine.out("run", "-d", *words, server_image)
    try:
        engine.wait_until_healthy(container)
        login = (
            "import sys, json, urllib.request as r\n"
            "b = json.dumps({'user': 'root', 'password': open('/run/password').read().strip()}).encode()\n"
            "q = r.Request('http://127.0.0.1:3141/+login', b, {'Content-Type': 'application/json'}, method='POST')\n"
            "print(r.urlopen(q).status)\n"
        )
        assert engine.python(container, login) == "200"
        said = engine.docker("logs", container).output + json.dumps(engine.inspect(container))
        said += engine.python(container, "print(open('/proc/1/cmdline').read())")
        assert SECRET not in said
    finally:
        engine.docker("rm", "-fv", container)


@pytest.mark.parametrize("profile", PROFILES)
def test_compose__the_file_is_valid(engine: Engine, profile: str) -> None:
    words = ["docker-compose", "-f", str(COMPOSE / "compose.yaml"), "--profile", profile, "config", "--quiet"]
    result = run(engine.home, *words).check()
    assert "WARN" not in result.output


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed")
def test_dockerfiles__hadolint_finds_nothing(tmp_path: Path) -> None:
    files = [str(COMPOSE / "Dockerfile"), *map(str, (ROOT / "tests" / "docker").glob("*/Dockerfile"))]
    assert run(tmp_path, "hadolint", *files).check().output == ""
