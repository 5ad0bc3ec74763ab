"""Another time for a process: libfaketime, which Debian packages as faketime."""

from __future__ import annotations

from pathlib import Path

PLACES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")


def library() -> str:
    """The library's path; empty where it is not installed."""
    found = (Path(place, "faketime", "libfaketimeMT.so.1") for place in PLACES)
    return next((str(path) for path in found if path.exists()), "")


def shifted(by: str) -> dict[str, str]:
    """Variables for a process whose clock is `by` off (`+400d`, `-1h`); monotonic clocks stay as they are."""
    return {"LD_PRELOAD": library(), "FAKETIME": by, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
