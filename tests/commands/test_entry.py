from __future__ import annotations

import sys
import types

import pytest

from devpi_forkbuilder.commands.entry import main


def test_entry__ctrl_c_while_modules_are_imported_has_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module whose import is interrupted, as `from ... import main` meets it."""

    class Importing(types.ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "devpi_forkbuilder.commands.main", Importing("main"))
    assert main() == 130
