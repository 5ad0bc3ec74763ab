"""A build back end (PEP 517) inside the project that it builds: it needs no index and takes milliseconds.

`inline.json` beside it says what to build: `name`, `version`, `modules` (paths; each goes to the wheel's top level) and
`behaviour`, a key of `BEHAVIOURS`.
"""

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from pathlib import Path


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    settings = json.loads(Path("inline.json").read_text())
    behave = BEHAVIOURS[settings.get("behaviour", "plain")]
    return behave(Path(wheel_directory), settings)


def build_sdist(sdist_directory, config_settings=None):
    raise NotImplementedError("this project makes wheels only")


def write_wheel(folder, settings, **more):
    """One pure wheel with the project's modules and `more` members; the same bytes for the same input."""
    stem = f"{settings['name'].replace('-', '_')}-{settings['version']}"
    members = {Path(path).name: Path(path).read_bytes() for path in settings["modules"]}
    members.update({name: text.encode() for name, text in more.items()})
    metadata = f"Metadata-Version: 2.1\nName: {settings['name']}\nVersion: {settings['version']}\n"
    if "requires_python" in settings:
        metadata += f"Requires-Python: {settings['requires_python']}\n"
    members[f"{stem}.dist-info/METADATA"] = metadata.encode()
    tags = "Wheel-Version: 1.0\nGenerator: inline\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    members[f"{stem}.dist-info/WHEEL"] = tags.encode()
    record = f"{stem}.dist-info/RECORD"
    lines = [f"{name},sha256={digest(data)},{len(data)}" for name, data in members.items()]
    members[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    filename = f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(folder / filename, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data)
    return filename


def digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def plain(folder, settings):
    return write_wheel(folder, settings)


def counts(folder, settings):
    """Each build leaves a line in the file that `COUNTER` names (empty: none), and an identity of its own in the wheel."""
    identity = uuid.uuid4().hex
    counter = Path("COUNTER").read_text().strip()
    if counter:
        with open(counter, "a") as lines:
            lines.write(f"{identity}\n")
    return write_wheel(folder, settings, **{"counts_identity.txt": identity})


def fails(folder, settings):
    print("preparing to fail", flush=True)
    sys.exit("this fork cannot be built: its frobnicator is missing")


def endless(folder, settings):
    while True:
        print("and another line of the same kind, to fill what collects it", flush=True)


def hangs(folder, settings):
    """Silent for ever, and so is a child: whoever ends one must end both."""
    print("hanging", flush=True)
    subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
    threading.Event().wait()


def two(folder, settings):
    write_wheel(folder, {**settings, "version": "9.9"})
    return write_wheel(folder, settings)


def none(folder, settings):
    return f"{settings['name'].replace('-', '_')}-{settings['version']}-py3-none-any.whl"


def slow(folder, settings):
    """Takes as many seconds as the file `SECONDS` says, with a line for each second."""
    end = time.monotonic() + float(Path("SECONDS").read_text())
    while (left := end - time.monotonic()) > 0:
        print(f"{left:.1f} seconds to go", flush=True)
        time.sleep(min(1.0, left))
    return write_wheel(folder, settings)


def environment(folder, settings):
    return write_wheel(folder, settings, **{"environment.json": json.dumps(dict(os.environ), sort_keys=True)})


BEHAVIOURS = {
    "plain": plain,
    "counts": counts,
    "fails": fails,
    "endless": endless,
    "hangs": hangs,
    "two": two,
    "none": none,
    "slow": slow,
    "environment": environment,
}
