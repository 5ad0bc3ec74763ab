"""An object as `GET .../+forks` gives it."""

from __future__ import annotations

A, B = "a" * 40, "b" * 40


def told(**more: object) -> dict[str, object]:
    """That of a pin `r==1.0.2` which nobody has asked for, with `more` laid over it."""
    return {
        "project": "r",
        "version": "1.0.2",
        "url": "https://h.example.com/r",
        "commit": A,
        "subdirectory": None,
        "state": "wanted",
        "targets": [],
        "files": [],
        "error": None,
        "log_url": None,
        "queued_at": None,
        "started_at": None,
        "finished_at": None,
        "seconds": {"fetch": None, "build": None, "check": None, "publish": None},
        **more,
    }
