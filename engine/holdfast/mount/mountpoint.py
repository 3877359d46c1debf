"""Where a file system is mounted: looked at before, tuned while, and left clean afterwards."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from holdfast.errors import MountError

ENDING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""They end a mount cleanly, unless they are ignored when it begins, as SIGHUP is by `nohup`."""
_DEVICE: Final = "/dev/fuse"
_CONFIG: Final = "/etc/fuse.conf"
_ALLOW: Final = "user_allow_other"
_HELPER: Final = "fusermount3"
_READ_AHEAD_KIB: Final = 1024
"""The kernel's own 128 KiB cost a request for each, and half of the speed of `cat`."""


def check_mountpoint(path: str, *, allow_other: bool = False) -> None:
    """Check that an empty directory is there for a mount, and FUSE on this machine.

    Args:
        path: the directory.
        allow_other: whether other users shall be let in.

    Raises:
        MountError: it is not; nothing was mounted.
    """
    try:
        entries = os.listdir(path)
    except OSError as error:
        raise MountError(path, _why_not(path, error)) from error
    if os.path.ismount(path):
        raise MountError(path, f"something is mounted there already; `umount {path}` ends it")
    if entries:
        raise MountError(path, "the directory is not empty; choose an empty one")
    if not os.path.exists(_DEVICE):
        raise MountError(
            path,
            f"this machine has no FUSE ({_DEVICE} is missing); load the kernel module `fuse`, or use "
            "`holdfast serve-files`, which needs none",
        )
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        raise MountError(path, f"no permission to use {_DEVICE}")
    if shutil.which(_HELPER) is None:
        raise MountError(path, f"the program {_HELPER} is missing; install the package fuse3")
    if os.geteuid() != 0:
        _check_rights(path, allow_other=allow_other)


def _check_rights(path: str, *, allow_other: bool) -> None:
    """Check what fusermount3 asks of everybody but root; it tells that less well."""
    if not os.access(path, os.W_OK):
        raise MountError(path, "only who may write to a directory may mount on it; choose another")
    if not allow_other:
        return
    try:
        with open(_CONFIG, encoding="utf-8", errors="replace") as file:
            allowed = any(line.strip() == _ALLOW for line in file)
    except OSError:
        allowed = False
    if not allowed:
        raise MountError(
            path,
            f"only root may let other users in; to allow it for everybody, root adds the line {_ALLOW} "
            f"to {_CONFIG}",
        )


def _why_not(path: str, error: OSError) -> str:
    match error.errno:
        case errno.ENOENT:
            return "there is no such directory; make it first"
        case errno.ENOTDIR:
            return "it is no directory"
        case errno.ENOTCONN:
            return f"a mount that has died is still there; run `{_HELPER} -u {path}` first"
    return (error.strerror or str(error)).lower()


def tune_read_ahead(path: str) -> None:
    """Let the kernel read further ahead on a mount, where we may say so: root may."""
    try:
        device = os.stat(path).st_dev
        name = f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb"
        with open(name, "w", encoding="ascii") as file:
            file.write(str(_READ_AHEAD_KIB))
    except OSError:
        return  # slower, nothing else


@contextmanager
def guarded(path: str) -> Iterator[None]:
    """Have a mount taken away by a process of its own if this one is killed inside.

    libfuse can do that too (`auto_unmount`), but its helper looks whether the mount is dead
    before it is, and then leaves it, one time in ten.
    """
    script = f'read -r ended || exec {_HELPER} -u -z -- "$0"'
    with subprocess.Popen(
        ["/bin/sh", "-c", script, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for us
    ) as guard:
        try:
            yield
        finally:
            guard.communicate(b"ended\n")


def unmount(path: str) -> None:
    """Take a mount out of the tree at once; who still has a file open keeps it."""
    for command in ((_HELPER, "-u", "-z", path), ("umount", "-l", path)):
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except OSError:
            continue
        if done.returncode == 0:
            return
