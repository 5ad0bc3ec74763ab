"""A limit from the server's command line to what an installer prints."""

from __future__ import annotations

import pytest

from tests.clients import Installer
from tests.functional.conftest import MakeLive
from tests.threats.hostile import attacking

pytestmark = pytest.mark.functional

FILL = """
def attack(folder, settings):
    with open("big", "wb") as file:
        for _ in range(100):
            file.write(bytes(1 << 20))
            file.flush()
    threading.Event().wait()
"""


def test_limit_folder__is_told_to_the_installer(own: MakeLive, installer: Installer) -> None:
    live = own("--forkbuilder-limit-folder", "20M", "--forkbuilder-silence-timeout", "60")
    fork = live.host.fork("inline", files=attacking(FILL))
    index = live.index_of(fork)
    done = installer.install(live.url(index), f"{fork.project}==1.0.2")
    assert done.returncode != 0
    state = live.state(index, fork.project)
    assert (state["state"], state["error"]["kind"]) == ("failed", "limits")
    assert "20 MiB" in state["error"]["message"]
    said = " ".join(done.output.split())
    assert f"Build of {fork.project} 1.0.2 from {fork.commit[:7]} failed (building)" in said
