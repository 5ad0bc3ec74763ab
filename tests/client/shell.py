"""A developer's shell: the real `devpi` command as a process, with a home and a folder of its own."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.devpi import ROOT_PASSWORD, DevpiServer
from tests.preloaded import preloaded
from tests.processes import Result, Running
from tests.surroundings import clean_environment

TIMEOUT = 120.0  # seconds for one command, longer than any that a test expects
ENTRY = "import sys; from devpi.main import main; sys.argv[0] = 'devpi'; sys.exit(main())"
"""What the console script `devpi` does, whatever folder the environment's scripts are in."""
IMPORTS = "import devpi.main; devpi.main.get_pluginmanager()"


class Shell:
    """Runs `devpi ...` in `folder`; `environment` is laid over a clean one."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.environment = dict(environment or {})

    def start(self, *arguments: str, **environment: str) -> Running:
        surroundings = clean_environment(self.home, **{**self.environment, **environment})
        command = [sys.executable, "-c", ENTRY, *arguments]
        return Running(command, surroundings, self.folder, None, preloaded=preloaded(IMPORTS))

    def devpi(self, *arguments: str, **environment: str) -> Result:
        return self.start(*arguments, **environment).wait(TIMEOUT)

    def forks(self, *arguments: str, **environment: str) -> Result:
        return self.devpi("forks", *arguments, **environment)

    def use(self, server: DevpiServer, index: str, user: str | None = "root", password: str = ROOT_PASSWORD) -> Shell:
        """`devpi use` and, unless `user` is None, `devpi login`."""
        self.devpi("use", f"{server.url}/{index}").check()
        if user is not None:
            self.devpi("login", user, f"--password={password}").check()
        return self

    def move(self, other: Shell, old: str, new: str) -> None:
        """Become as `other`, which uses the index `old`, but use the index `new` of the same server."""
        shutil.copytree(other.home / ".devpi", self.home / ".devpi")
        for path in (self.home / ".devpi").rglob("*.json"):
            path.write_text(path.read_text().replace(old, new))

    def spoil_login(self, user: str) -> None:
        """Make devpi-client's token of a user one that no server gave."""
        kept = self.home / ".devpi" / "client" / "auth.json"
        auth = {
            url: {**dict(users), user: "not-a-token"} for url, users in json.loads(kept.read_text())["auth"].items()
        }
        kept.write_text(json.dumps({"auth": {url: list(users.items()) for url, users in auth.items()}}))

    def write(self, name: str, text: str) -> Path:
        """A file in the folder, its line ends as they are."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path
