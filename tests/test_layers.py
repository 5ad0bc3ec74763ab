from __future__ import annotations

from pathlib import Path

import pytest

from tests.layers import PACKAGE, broken_rules

ROOT = Path(__file__).parent.parent / PACKAGE


def test_layers__hold_in_this_package():
    sources = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py")}
    assert len(sources) > 10
    broken = broken_rules(sources)
    assert not broken, "\n".join(broken)


ERRORS = {"errors.py": ""}


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (
            {"domain/pins/pins.py": "from devpi_forkbuilder.pipeline.git import x"},
            "domain imports devpi_forkbuilder.pipeline.git.x",
        ),
        ({"service/a.py": "import devpi_forkbuilder.devpi.index"}, "service imports devpi_forkbuilder.devpi.index"),
        ({"service/a.py": "from ..web import tween"}, "service imports devpi_forkbuilder.web.tween"),
        ({"errors.py": "from .domain import pins"}, "errors imports devpi_forkbuilder.domain.pins"),
        ({"pipeline/a.py": "def f():\n    from devpi_forkbuilder import service"}, "pipeline/a.py:2: pipeline imports"),
        (
            {"__init__.py": "from devpi_forkbuilder import errors, plugin", "plugin.py": ""},
            "devpi_forkbuilder.plugin, which is above it",
        ),
        ({"utils/a.py": ""}, "utils belongs to no layer"),
        ({"extra.py": ""}, "extra belongs to no layer"),
        ({"web/a.py": "import subprocess"}, "imports subprocess: only pipeline/process/runner.py runs processes"),
        ({"pipeline/git/client.py": "from subprocess import run"}, "imports subprocess.run"),
        ({"pipeline/sandbox/launcher.py": "import subprocess"}, "imports subprocess"),
        ({"service/a.py": "from os import execv"}, "imports os.execv"),
        ({"service/a.py": "import os as o\no.fork()"}, "service/a.py:2: uses fork"),
        ({"commands/up/command.py": "import os\nos.execvp('x', [])"}, "uses execvp"),
        ({"service/a.py": "import os\nrun = os.spawnv"}, "uses spawnv"),
        ({"service/a.py": "import os\nos.system('x')"}, "uses system"),
        ({"service/a.py": "import os\nos.posix_spawn()"}, "uses posix_spawn"),
        ({"devpi/a.py": "import pty"}, "imports pty"),
        ({"devpi/a.py": "import asyncio\nasyncio.create_subprocess_exec()"}, "uses create_subprocess_exec"),
        ({"web/a.py": "from devpi_server.views import x"}, "imports devpi_server.views.x, which only devpi/ may"),
        ({"plugin.py": "import devpi_server"}, "which only devpi/ may"),
        ({"service/a.py": "from pyramid.response import Response"}, "only web/, devpi/, plugin.py may"),
        ({"commands/a.py": "import webob"}, "imports webob"),
        ({"client/a.py": "import devpi_server"}, "imports devpi_server, which only devpi/ may"),
        ({"client/a.py": "from pyramid import x"}, "imports pyramid.x, which only web/"),
        ({"client/a.py": "from devpi_forkbuilder.service import x"}, "service.x, which it must not know"),
        ({"service/a.py": "from devpi_forkbuilder import client"}, "devpi_forkbuilder.client, which it must not know"),
        ({"client/a.py": "import devpi_forkbuilder.devpi.index"}, "devpi_forkbuilder.devpi.index, which is above it"),
        ({"domain/a.py": "from devpi_forkbuilder.client import x"}, "devpi_forkbuilder.client.x, which is above it"),
        ({"web/a.py": "from devpi.main import Hub"}, "imports devpi.main.Hub, which only client/ may"),
        ({"warming/a.py": "from devpi_forkbuilder.service import x"}, "which it must not know"),
        ({"commands/a.py": "import requests"}, "imports requests, which only warming/, farm/ may"),
        ({"commands/a.py": "import rich.table"}, "imports rich.table, which only client/ may"),
        ({"domain/a.py": "import os"}, "domain imports os, which is not pure"),
        ({"domain/a.py": "import urllib.request"}, "domain imports urllib.request"),
        ({"domain/a.py": "from time import time"}, "domain imports time.time"),
        ({"domain/locks/a.py": "import random, re"}, "domain imports random"),
        ({"domain/a.py": "from pathlib import Path"}, "domain imports pathlib.Path"),
        ({"domain/a.py": "import httpx"}, "domain imports httpx"),
        ({"domain/a.py": "open('x')"}, "domain calls open"),
        ({"domain/a.py": "from datetime import datetime\ndatetime.now()"}, "domain reads the clock with now"),
        ({"domain/a.py": "#\n" * 351}, "351 lines, more than 350"),
        ({"web/a.py": "def f():\n" + "    x = 1\n" * 50}, "f has 51 lines, more than 50"),
        ({"web/a.py": "class A:\n  async def f():\n" + "    x = 1\n" * 50}, "f has 51 lines, more than 50"),
        (
            {
                "web/a.py": "import devpi_forkbuilder.web.b",
                "web/b.py": "from . import c",
                "web/c.py": "from .a import x",
            },
            "import cycle: web/a.py -> web/b.py -> web/c.py -> web/a.py",
        ),
        (
            {
                "web/__init__.py": "from devpi_forkbuilder.web.a import x",
                "web/a.py": "from devpi_forkbuilder.web import y",
            },
            "import cycle: web/__init__.py -> web/a.py -> web/__init__.py",
        ),
        ({"web/a.py": "from devpi_forkbuilder.web.a import x"}, "import cycle: web/a.py -> web/a.py"),
        (
            {"pipeline/git/a.py": "from devpi_forkbuilder.pipeline.checkout.b import x", "pipeline/checkout/b.py": ""},
            "pipeline/git imports devpi_forkbuilder.pipeline.checkout.b.x, a later sub-package",
        ),
        ({"pipeline/git/a.py": "from devpi_forkbuilder.pipeline import builder"}, "a later sub-package"),
        (
            {"web/a.py": "class A: ...", "domain/b.py": "def A(): ..."},
            "A is the name of something in domain/b.py and in",
        ),
    ],
)
def test_broken_rules__finds(sources, expected):
    broken = broken_rules({**ERRORS, **sources})
    assert len(broken) == 1, broken
    assert expected in broken[0]


@pytest.mark.parametrize(
    "sources",
    [
        {"domain/a.py": "import re, tomli\nfrom urllib.parse import quote\nfrom packaging.version import Version"},
        {"domain/a.py": "from devpi_forkbuilder import errors\nfrom devpi_forkbuilder.errors import Kind"},
        {"domain/results.py": "from pathlib import Path"},
        {"pipeline/process/runner.py": "import os, subprocess\nos.execv()"},
        {"pipeline/sandbox/launcher.py": "import os\nos.fork()\nos.execvpe()"},
        {"web/a.py": "import os\nfrom pyramid.response import Response\nos.path.exists('x')\nfork = system = 1"},
        {"devpi/a.py": "import devpi_server, webob\nfrom devpi_forkbuilder.service import x"},
        {
            "plugin.py": "import pyramid\nfrom devpi_forkbuilder.web import tween",
            "commands/main.py": "import devpi_forkbuilder",
        },
        {
            "web/__init__.py": "",
            "web/a.py": "from devpi_forkbuilder.web import b",
            "web/b.py": "",
            "web/c.py": "from .a import x",
        },
        {"pipeline/checkout/a.py": "from devpi_forkbuilder.pipeline.git.b import x", "pipeline/git/b.py": ""},
        {"pipeline/builder.py": "from devpi_forkbuilder.pipeline.frontend.b import x", "pipeline/frontend/b.py": ""},
        {"client/a.py": "import rich\nfrom devpi.main import Hub\nfrom devpi_forkbuilder.pipeline import x"},
        {"commands/a.py": "from devpi_forkbuilder.client.files import read_all"},
        {"web/a.py": "#\n" * 350, "web/b.py": "def f():\n" + "    x = 1\n" * 49},
    ],
)
def test_broken_rules__finds_nothing(sources):
    assert broken_rules({**ERRORS, **sources}) == []
