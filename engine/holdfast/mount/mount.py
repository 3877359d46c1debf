"""Mounting: serve until somebody unmounts, leave nothing behind."""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from holdfast.errors import HoldfastError, MissingExtraError, MountError
from holdfast.mount.mountpoint import guarded, tune_read_ahead, unmount
from holdfast.vfs.filesystem import SnapshotFiles

_LIBRARY: Final = "mfusepy"
_DRIVER: Final = "holdfast.mount.driver"
_LOOK_S: Final = 2.0
"""How often somebody looks whether the repository is still there; a `stat` on a disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountOptions:
    """How to mount."""

    allow_other: bool = False
    """Let other users in; the kernel enforces modes and owners then. Otherwise nobody but the user
    who mounts gets in, who may read everything, as whoever has the key can."""


def require_library() -> None:
    """Check that the package for mounting is installed.

    Raises:
        MissingExtraError: it is not.
    """
    if importlib.util.find_spec(_LIBRARY) is None:
        raise MissingExtraError("`holdfast mount`", "mount")


def mount(
    files: SnapshotFiles, mountpoint: str, options: MountOptions, on_ready: Callable[[], None]
) -> None:
    """Show `files` at an empty directory until it is unmounted or a signal comes.

    For the main thread, since signals end it: SIGINT, SIGTERM and SIGHUP unmount cleanly. If this
    process is killed, another one unmounts.

    Args:
        files: what to show.
        mountpoint: absolute; was checked by `check_mountpoint`.
        options: how.
        on_ready: called once, in another thread, when the mount can be used.

    Raises:
        MissingExtraError, MountError: nothing was mounted.
        RepositoryVanishedError: the repository went away; nothing is mounted any more.
    """
    require_library()
    driver = _load(mountpoint)
    watch = _Watch(files, mountpoint, on_ready)
    settings: dict[str, Any] = {
        "ro": True,
        "nosuid": True,
        "nodev": True,
        "fsname": "holdfast",
        "subtype": "holdfast",
        "allow_other": options.allow_other,
        "default_permissions": options.allow_other,
    }
    try:
        with guarded(mountpoint):
            driver.serve(files, mountpoint, settings, watch.start)
    finally:
        watch.stop()
    if watch.error is not None:
        raise watch.error


def _load(mountpoint: str) -> ModuleType:
    try:
        return importlib.import_module(_DRIVER)
    except (OSError, ImportError) as error:  # of libfuse itself
        raise MountError(
            mountpoint, f"libfuse 3 cannot be loaded ({error}); install the package fuse3"
        ) from error


class _Watch:
    """Looks after a mount from another thread, from when it is there to when it ends."""

    def __init__(self, files: SnapshotFiles, mountpoint: str, on_ready: Callable[[], None]) -> None:
        self._files = files
        self._mountpoint = mountpoint
        self._on_ready = on_ready
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="holdfast-watch", daemon=True)
        self.error: HoldfastError | None = None

    def start(self) -> None:
        """Begin: the kernel has accepted the mount."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        tune_read_ahead(self._mountpoint)
        self._on_ready()
        while not self._ended.wait(_LOOK_S):
            self._files.reader.rest()
            self.error = self._files.find_vanished()
            if self.error is not None:
                unmount(self._mountpoint)
                return
