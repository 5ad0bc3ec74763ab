"""Folders of tests that the users of builds can pass through."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """pytest's folder, whose parents are closed to others: a root server builds as other users (tier uid)."""
    place = Path(tempfile.gettempdir())
    if os.geteuid() == 0:
        for folder in (tmp_path, *tmp_path.parents):
            if folder != place and folder.is_relative_to(place):
                folder.chmod(folder.stat().st_mode | 0o011)
    return tmp_path
