"""Killing the tools that this process runs, and nothing else that it runs."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def kill_children(program: str) -> None:
    """Kill the children of this process that run a program.

    Others are servers that further tests need: a process that runs tests has some of its own.
    """
    for task in Path("/proc/self/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except FileNotFoundError:
            continue  # a thread that has ended
        for child in children:
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if program.encode() in {os.path.basename(word) for word in words[:3]}:
                os.kill(int(child), signal.SIGKILL)
