"""Giving restored entries their owner, attributes, mode and times, in the order that works.

Owner first, for it clears set-user-id bits and capabilities; extended attributes next, for
without write permission not even the owner may set them; then the mode; times last. If the owner
cannot be set, set-user-id and set-group-id bits are left out: they would lend the wrong rights.

ACLs are the raw attributes system.posix_acl_access and system.posix_acl_default.
"""

from __future__ import annotations

import os
import stat
from typing import Final

from holdfast.format.node import NO_EXTRA, Node, NodeType
from holdfast.fs.source import describe
from holdfast.fs.target_problems import TargetProblems

_PATH_ONLY: Final = getattr(os, "O_PATH", 0)
_ACCESS_ACL: Final = "system.posix_acl_access"
_CAPABILITY: Final = "security.capability"


def apply_to_fd(
    fd: int,
    node: Node,
    path: bytes,
    problems: TargetProblems,
    *,
    found: os.stat_result | None = None,
) -> bool:
    """Give an open file or directory the metadata of its node.

    Args:
        fd: opened for reading or writing.
        node: what it shall be.
        path: its name in findings.
        problems: where to report what cannot be set.
        found: for an entry that existed before, its state: only what differs is changed and
            attributes that the node lacks are removed. None for one that this run made.

    Returns:
        Whether anything was changed.

    Raises:
        OSError: mode or times cannot be set.
    """
    extra = node.extra or NO_EXTRA
    mode = node.mode
    owned = found is not None and found.st_uid == node.uid and found.st_gid == node.gid
    changed = False
    if not owned:
        changed = True
        if not _set_owner(fd, node, path, problems):
            mode &= ~0o6000
    if extra.xattrs or found is not None:
        changed |= _set_xattrs(fd, extra.xattrs, path, problems, clean=found is None)
    if changed or found is None or stat.S_IMODE(found.st_mode) != mode:
        os.fchmod(fd, mode)
        changed = True
    if changed or found is None or found.st_mtime_ns != node.mtime_ns:
        os.utime(fd, ns=_times(node))
        changed = True
    return changed


def apply_to_entry(
    place: tuple[int, bytes], node: Node, path: bytes, problems: TargetProblems, *, existing: bool
) -> None:
    """Give a symbolic link, fifo, socket or device its metadata.

    Args:
        place: its directory and its name there, which may be a temporary one.
        node: what it shall be.
        path: its name in findings.
        problems: where to report what cannot be set.
        existing: whether it was there before this run and may have other attributes.

    Raises:
        OSError: mode or times cannot be set.
    """
    dir_fd, name = place
    mode = node.mode
    if not _set_owner_at(place, node, path, problems):
        mode &= ~0o6000
    extra = node.extra or NO_EXTRA
    if extra.xattrs or existing:
        _set_xattrs(path_of(dir_fd, name), extra.xattrs, path, problems, clean=not existing)
    if node.type != NodeType.SYMLINK:
        fd = os.open(name, _PATH_ONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            if not stat.S_ISLNK(os.fstat(fd).st_mode):
                os.chmod(f"/proc/self/fd/{fd}", mode)
        finally:
            os.close(fd)
    os.utime(name, ns=_times(node), dir_fd=dir_fd, follow_symlinks=False)


def has_metadata(target: int | bytes, node: Node, found: os.stat_result) -> bool:
    """Tell whether an existing entry has the metadata of its node, as far as it could be set.

    Args:
        target: the entry, open for reading, or a path that leads to just it.
        node: what it shall be.
        found: its state.
    """
    mode = node.mode
    if (found.st_uid, found.st_gid) != (node.uid, node.gid):
        if os.geteuid() == 0:
            return False
        mode &= ~0o6000
    if found.st_mtime_ns != node.mtime_ns:
        return False
    if not stat.S_ISLNK(found.st_mode) and stat.S_IMODE(found.st_mode) != mode:
        return False
    extra = node.extra or NO_EXTRA
    current = {os.fsencode(name): value for name, value in _read_xattrs(target).items()}
    wanted = dict(extra.xattrs)
    return wanted == {
        name: value
        for name, value in current.items()
        if name in wanted or not _belongs_to_system(os.fsdecode(name))
    }


def has_other_acl(fd: int, node: Node) -> bool:
    """Tell whether an ACL of an open file may admit somebody whom its node's does not."""
    try:
        found = os.getxattr(fd, _ACCESS_ACL)
    except OSError:
        return False  # it has none
    extra = node.extra or NO_EXTRA
    return found != dict(extra.xattrs).get(os.fsencode(_ACCESS_ACL))


def path_of(dir_fd: int, name: bytes) -> bytes:
    """Return a path to an entry for calls that take no directory descriptor.

    Through /proc the kernel still resolves the name in just that directory.
    """
    return b"/proc/self/fd/%d/%s" % (dir_fd, name)


def _times(node: Node) -> tuple[int, int]:
    atime = node.extra.atime_ns if node.extra is not None else None
    return (node.mtime_ns if atime is None else atime, node.mtime_ns)


def _set_owner(fd: int, node: Node, path: bytes, problems: TargetProblems) -> bool:
    try:
        os.fchown(fd, node.uid, node.gid)
    except PermissionError:
        found = os.fstat(fd)
        if (found.st_uid, found.st_gid) == (node.uid, node.gid):
            return True
        problems.miss_owner(path)
        try:
            os.fchown(fd, -1, node.gid)
        except PermissionError:
            pass  # counted already
        return False
    return True


def _set_owner_at(
    place: tuple[int, bytes], node: Node, path: bytes, problems: TargetProblems
) -> bool:
    dir_fd, name = place
    try:
        os.chown(name, node.uid, node.gid, dir_fd=dir_fd, follow_symlinks=False)
    except PermissionError:
        found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        if (found.st_uid, found.st_gid) == (node.uid, node.gid):
            return True
        problems.miss_owner(path)
        try:
            os.chown(name, -1, node.gid, dir_fd=dir_fd, follow_symlinks=False)
        except PermissionError:
            pass  # counted already
        return False
    return True


def _set_xattrs(
    target: int | bytes,
    wanted: tuple[tuple[bytes, bytes], ...],
    path: bytes,
    problems: TargetProblems,
    *,
    clean: bool,
) -> bool:
    """Make the attributes equal to the wanted ones; return whether any changed."""
    follow = isinstance(target, int)
    current = {} if clean else _read_xattrs(target)
    changed = False
    for name, value in wanted:
        text = os.fsdecode(name)
        if current.pop(text, None) == value:
            continue
        changed = True
        try:
            os.setxattr(target, name, value, follow_symlinks=follow)
        except OSError as error:
            problems.tally(f"attribute {text!a} not restored: {describe(error)}", path)
    for text in current:
        if _belongs_to_system(text):
            continue
        changed = True
        try:
            os.removexattr(target, text, follow_symlinks=follow)
        except OSError as error:
            problems.tally(f"attribute {text!a} not removed: {describe(error)}", path)
    return changed


def _read_xattrs(target: int | bytes) -> dict[str, bytes]:
    follow = isinstance(target, int)
    values: dict[str, bytes] = {}
    try:
        for name in os.listxattr(target, follow_symlinks=follow):
            values[name] = os.getxattr(target, name, follow_symlinks=follow)
    except OSError:
        pass  # a file system without attributes; setting wanted ones will tell
    return values


def _belongs_to_system(name: str) -> bool:
    """Tell whether an attribute is the target system's own, such as its SELinux label."""
    if name.startswith("security."):
        return name != _CAPABILITY
    return name.startswith("system.") and not name.startswith("system.posix_acl_")
