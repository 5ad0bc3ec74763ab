"""Attackers with real forks, URLs and requests. What they attack is that of the other rings' fixtures."""

from __future__ import annotations

from tests.functional.conftest import host, own
from tests.passable import tmp_path
from tests.server.conftest import app, app_template, builder, make_app

__all__ = ["app", "app_template", "builder", "host", "make_app", "own", "tmp_path"]
