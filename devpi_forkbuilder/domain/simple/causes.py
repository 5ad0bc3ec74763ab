"""The short cause of a failed build, for the reason phrase that installers print (pure)."""

from __future__ import annotations

import re

from devpi_forkbuilder.domain.pins.pins import redacted

LONGEST = 80
"""Characters. pip and uv print the phrase in one line with two URLs."""
KNOWN = {
    "no-sandbox": "no sandbox on the server",
    "sandbox-unusable": "the sandbox that was chosen does not work on the server",
    "program-missing": "a program is missing on the server",
    "disk-full": "the server's disk is full",
    "build-failed": "",
    "hook-failed": "",
}
"""What is said of an error reference instead of its message; empty: the log knows it better."""
ERROR_LINE = re.compile(r"(?:[\w.]*(?:Error|Exception|Exit)\b.*|(?:fatal |command )?error\b.*)", re.IGNORECASE)
FAULT_LINE = re.compile(
    r".*\b(?:cannot|can't|could not|couldn't|unable|failed|missing|not found|no such|invalid|unsupported|fatal)\b.*",
    re.IGNORECASE,
)
"""A line that says so in words. uv hands on what a build prints and what it complains of by two pipes, in any order."""
UV_REPORT = re.compile(r"^(?:error: |\s*\u00d7 )Failed to build", re.MULTILINE)
"""Where uv begins to say that the build failed, after the last line of the build itself."""
OURS = "[forkbuilder]"
NEAR = 4
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SENTENCE = re.compile(r"(?<=[a-z0-9'\")`])\.(?:\s|$)|[\r\n]")
TAG = re.compile(r"<(?=[A-Za-z/!?])")
"""What would begin a tag where somebody shows the phrase as HTML."""
COMMIT = re.compile(r"\b([0-9a-f]{7})[0-9a-f]{33,57}\b")
FOLDERS = re.compile(r"[a-z+]+://[^\s']*/(?=[^/\s'])|(?<![\w/])(?:/[^/\s']+)+/(?=[^/\s'])")


def short_cause(reference: str, message: str, log: str) -> str:
    """Return why a build failed, in ASCII and in LONGEST characters at most; empty when nothing short is known.

    `message` is the error's, `log` the end of the build's log: its last line that names an error is taken where the
    message says only that the project's own code failed. Neither may hold a secret.
    """
    if reference in KNOWN:
        return KNOWN[reference] or _last_error(log)
    sentence = COMMIT.sub(r"\1", _plain(SENTENCE.split(redacted(message), maxsplit=1)[0]))
    if len(sentence) > LONGEST:
        sentence = FOLDERS.sub("", sentence)
    return sentence if len(sentence) <= LONGEST else f"{sentence[: LONGEST - 3].rpartition(' ')[0]}..."


def _last_error(log: str) -> str:
    """The last line that the project's own code printed, or one of the few before it that names an error or a fault."""
    own = UV_REPORT.split(ESCAPES.sub("", log), maxsplit=1)[0].splitlines()
    lines = [plain for line in reversed(own) if (plain := _plain(line)) and not line.startswith(OURS)][:NEAR]
    ranked = (line for pattern in (ERROR_LINE, FAULT_LINE) for line in lines if pattern.fullmatch(line))
    found = next(ranked, lines[0] if lines else "")
    return found if len(found) <= LONGEST else ""


def _plain(text: str) -> str:
    """`text` as a part of the phrase: printable ASCII, without what ends the part."""
    ascii_only = TAG.sub("", re.sub(r"[^\x20-\x7e]+", " ", ESCAPES.sub("", text)))
    return " ".join(ascii_only.replace(";", ",").split()).rstrip(" .:,")
