"""Two networks of their own with two cables between them, one of which can be pulled. Needs root and iproute2.

Interfaces and addresses are in namespaces made here and nowhere else (network_namespaces(7)), so that nothing is
changed for the machine. The thread that makes them is in the first one meanwhile, with all that it starts.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.devpi import DevpiServer

CLONE_NEWNET = 0x40000000  # sched.h
NEAR, FAR = "10.99.1.1", "10.99.1.2"
"""The ends of the cable that can be pulled: here, and in the other network."""
CONTROL_NEAR, CONTROL_FAR = "10.99.2.1", "10.99.2.2"
"""The ends of the cable that stays: on it a test sees what the other side does while it is alone."""
NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Networks:
    """The names of the namespace that the test is in, and of the other."""

    here: str
    there: str

    def pull(self) -> None:
        """This side's interface is down, and the other one has no carrier; no end of a connection is told."""
        ip("link", "set", "cable", "down")

    def plug(self) -> None:
        ip("link", "set", "cable", "up")

    def pull_there(self) -> None:
        """The same the other way round: with the interface, the replica's own way to the primary is gone."""
        ip("-n", self.there, "link", "set", "cable", "down")

    def plug_there(self) -> None:
        ip("-n", self.there, "link", "set", "cable", "up")

    def lose(self) -> None:
        """Interfaces are up, and every packet is lost on the way (the queue `blackhole` of tc(8))."""
        for namespace in (self.here, self.there):
            run("ip", "netns", "exec", namespace, "tc", "qdisc", "replace", "dev", "cable", "root", "blackhole")

    def find(self) -> None:
        for namespace in (self.here, self.there):
            run("ip", "netns", "exec", namespace, "tc", "qdisc", "delete", "dev", "cable", "root")


class FarServer(DevpiServer):
    """A replica in the other network; its primary is here. The test talks to it on the control cable."""

    def __init__(self, folder: Path, networks: Networks, primary: DevpiServer, *options: str) -> None:
        self._namespace = networks.there
        # argparse takes the last of options given twice
        own = ("--host", "0.0.0.0", "--primary-url", f"http://{NEAR}:{primary.port}")
        super().__init__(folder, *own, *options, primary=primary)

    @property
    def url(self) -> str:
        return f"http://{CONTROL_FAR}:{self.port}"

    def _command(self) -> list[str]:
        return ["ip", "netns", "exec", self._namespace, *super()._command()]


def lacking() -> str:
    """What this machine does not have for such networks, or nothing."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    name = f"forks-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode == 0:
        ip("netns", "delete", name)
    return made.stderr.strip()


@contextmanager
def two_networks() -> Iterator[Networks]:
    """Make them, be in the first one, and leave nothing of them."""
    number = next(NUMBERS)
    networks = Networks(f"forks-{os.getpid()}-{number}-a", f"forks-{os.getpid()}-{number}-b")
    made = []
    try:
        for name in (networks.here, networks.there):
            ip("netns", "add", name)
            made.append(name)
            ip("-n", name, "link", "set", "lo", "up")
        lay("cable", networks, NEAR, FAR)
        lay("control", networks, CONTROL_NEAR, CONTROL_FAR)
        with inside(networks.here):
            yield networks
    finally:
        for name in made:
            ip("netns", "delete", name)


def lay(name: str, networks: Networks, near: str, far: str) -> None:
    """A pair of virtual interfaces (veth(4)), called the same at both ends; it goes with its namespaces."""
    ip("-n", networks.here, "link", "add", name, "type", "veth", "peer", "name", name, "netns", networks.there)
    for namespace, address in ((networks.here, near), (networks.there, far)):
        ip("-n", namespace, "address", "add", f"{address}/24", "dev", name)
        ip("-n", namespace, "link", "set", name, "up")


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread, and what it starts, in the namespace (setns(2))."""
    with open("/proc/thread-self/ns/net", "rb") as before, open(f"/run/netns/{namespace}", "rb") as wanted:
        _enter(wanted.fileno())
        try:
            yield
        finally:
            _enter(before.fileno())


def ip(*arguments: str) -> None:
    """ip(8)."""
    run("ip", *arguments)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _enter(namespace: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12
    if library.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def until(moment: float) -> None:
    """Let time pass until `moment` of the monotonic clock: how long a cable is out is what such a test is about."""
    time.sleep(max(0.0, moment - time.monotonic()))
