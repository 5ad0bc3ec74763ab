"""The images' health check: is the server of this container ready? `python -m devpi_forkbuilder.commands.ready`."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping

PATIENCE = 8.0


def main(environ: Mapping[str, str] = os.environ) -> int:
    """0 when it is; else 1, with what is wrong on the standard output, where `docker inspect` shows it."""
    port = environ.get("FORKBUILDER_PORT", "")
    url = f"http://127.0.0.1:{port if port.isdigit() else 3141}/+forkbuilder/ready"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=PATIENCE):
            return 0
    except urllib.error.HTTPError as error:
        with error:
            print(_reasons(error.read()) or f"The server answers {error.code}.")
    except OSError as error:
        print(f"The server does not answer: {error}")
    return 1


def _reasons(body: bytes) -> str:
    try:
        checks = json.loads(body)["result"]["checks"]
        return " ".join(str(check["message"]) for check in checks if not check["ok"])
    except (ValueError, KeyError, TypeError):
        return ""


if __name__ == "__main__":
    sys.exit(main())
