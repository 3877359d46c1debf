"""One call to restore from a `DictSource`; a restore that is killed at a chosen step."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from holdfast.clock import SystemClock
from holdfast.format.node import Node
from holdfast.operations.restore import RestoreOptions, RestoreResult, restore
from holdfast.progress import NullProgress
from support.trees import DictSource, EntryState, hash_data, read_tree

_STEPS: Final = frozenset(
    (
        "os.chmod",
        "os.chown",
        "os.link",
        "os.mkdir",
        "os.remove",
        "os.removexattr",
        "os.rename",
        "os.rmdir",
        "os.setxattr",
        "os.symlink",
        "os.truncate",
        "os.utime",
        "fcntl.ioctl",
    )
)
"""Audit events of what changes a tree; `open` counts if it may write, writing itself has none."""
_WRITING: Final = os.O_WRONLY | os.O_RDWR


def run_restore(
    source: DictSource, node: Node, target: object, *, path: bytes = b"/", **options: Any
) -> RestoreResult:
    """Restore a node into `target`."""
    return restore(
        source,
        node,
        RestoreOptions(target=os.fsencode(str(target)), **options),
        path=path,
        hash_data=hash_data,
        clock=SystemClock(),
        progress=NullProgress(),
    )


def problems(result: RestoreResult) -> dict[str, str]:
    """The findings by path."""
    return {finding.path: finding.problem for finding in result.findings}


def killed_at(step: int, action: Callable[[], object]) -> bool:
    """Run an action in a process that gets SIGKILL just before its step-th change to a tree.

    The content of files is written between their opening and what follows, so each state between
    two system calls that change a tree is reached, but for those within a file of many pieces.

    Returns:
        Whether it was killed; False if the action came to its end before.
    """
    child = os.fork()
    if child == 0:
        left = step

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            if event in _STEPS or (event == "open" and (arguments[2] or 0) & _WRITING):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(watch)
            action()
        except BaseException:  # noqa: BLE001 - whatever it is, the child must not go on
            traceback.print_exc()
            os._exit(2)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), "the restore failed; see its standard error"
    return status != 0


def state_of(path: object) -> dict[bytes, EntryState]:
    """The state of a tree but for where its files are sparse: what reads as zeros is equal."""
    tree = read_tree(os.fsencode(str(path)))
    return {name: replace(state, holes=()) for name, state in tree.items()}
