"""The program of a process that others are forked from (`preloaded.py`): it uses the standard library alone.

It gets a message for each new process: its program, arguments, environment and folder, and, as file descriptors, the
files for its output and its errors, and a socket on which the process id and, when it has ended, the exit status are
reported.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from typing import Any

LONGEST = 1 << 17  # bytes of a message
NUMBER = struct.Struct("=i")


def serve(control: int) -> str:
    """Fork for each message. Returns the program in what was forked; exits when there can be no more messages."""
    gc.freeze()
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, socket.socket] = {}
    with socket.socket(fileno=control) as sender:
        while True:
            ready, _, _ = select.select([sender, woken], [], [])
            if woken in ready:
                os.read(woken, 4096)
                _report(children)
            if sender in ready and (program := _fork(sender, children)) is not None:
                break
    for descriptor in (woken, wakes, *(channel.detach() for channel in children.values())):
        os.close(descriptor)
    return program


def _report(children: dict[int, socket.socket]) -> None:
    """Say of each process that has ended how it did."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with children.pop(pid) as channel, contextlib.suppress(OSError):  # nobody may be there to hear it
            channel.send(NUMBER.pack(os.waitstatus_to_exitcode(status)))


def _fork(sender: socket.socket, children: dict[int, socket.socket]) -> str | None:
    """Fork once; None in the process that goes on, the program in the other."""
    text, descriptors, _, _ = socket.recv_fds(sender, LONGEST, 3)
    if not text:
        sys.exit(0)
    *outputs, reported = descriptors
    pid = os.fork()
    if pid == 0:
        os.close(reported)
        return _become(json.loads(text), outputs)
    for descriptor in outputs:
        os.close(descriptor)
    children[pid] = socket.socket(fileno=reported)
    children[pid].send(NUMBER.pack(pid))
    return None


def _become(wanted: dict[str, Any], outputs: list[int]) -> str:
    """Be like a process that was started with these words, environment, folder and outputs; the program."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, descriptor in enumerate(outputs, start=1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(wanted["cwd"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    time.tzset()
    program, *arguments = wanted["words"]
    sys.argv = ["-c", *arguments]
    return str(program)
