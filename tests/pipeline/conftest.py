"""Builds of every tier have their folders in the tests' own."""

from __future__ import annotations

from tests.passable import tmp_path

__all__ = ["tmp_path"]
