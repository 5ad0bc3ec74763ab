"""compose's nginx finds replicas that come and go: the script with a real nginx, and names that the test gives out."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.devpi import free_port
from tests.nginx import MISSING, NGINX
from tests.processes import Running
from tests.surroundings import clean_environment

pytestmark = [pytest.mark.functional, pytest.mark.skipif(NGINX is None, reason=MISSING)]
SCRIPT = Path(__file__).parent.parent.parent / "compose" / "nginx" / "follow-replicas.sh"
CONFIGURATION = """\
pid {folder}/nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    upstream readers {{ server 127.0.0.9:1; include {folder}/replicas/[r]eaders.conf; }}
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} }}
}}
"""


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_replicas__that_come_and_go_are_written_and_read_again(tmp_path: Path) -> None:
    names, tools = tmp_path / "names", tmp_path / "bin"
    tools.mkdir()
    names.write_text("127.0.0.2 STREAM replica\n127.0.0.2 DGRAM\n")
    (tmp_path / "nginx.conf").write_text(CONFIGURATION.format(folder=tmp_path, port=free_port()))
    program(tools / "getent", f"cat {names}")
    program(tools / "nginx", f'echo "$@" >>{tmp_path}/calls; exec {NGINX} -p {tmp_path} -c {tmp_path}/nginx.conf "$@"')
    moved = tmp_path / "follow.sh"
    moved.write_text(SCRIPT.read_text().replace("/tmp/replicas", str(tmp_path / "replicas")))
    environment = clean_environment(tmp_path, PATH=f"{tools}:{os.environ['PATH']}", REPLICAS_EVERY="0.1")
    with (tmp_path / "log").open("wb") as log:
        running = Running(["sh", str(moved)], environment, tmp_path, log)
    try:
        wait_for(tmp_path / "replicas" / "spare.conf", "127.0.0.2:3141 max_fails=1 fail_timeout=10s backup;")
        names.write_text("127.0.0.3 STREAM replica\n127.0.0.2 STREAM\n")
        wait_for(tmp_path / "replicas" / "readers.conf", "server 127.0.0.3:3141 max_fails=1 fail_timeout=10s;")
        wait_for(tmp_path / "calls", "-s reload")
        names.write_text("")
        wait_for(tmp_path / "replicas" / "readers.conf", "127.0.0.3")
    finally:
        running.signal(signal.SIGQUIT)
        ended = running.wait(30)
    assert ended.returncode == 0, (tmp_path / "log").read_text()
    assert "emerg" not in (tmp_path / "log").read_text()


def wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < deadline, f"{text} is not in {path}"
        time.sleep(0.05)  # a file that another process writes
