"""The target of a restore as a tree of directory descriptors.

Every access goes through the descriptor of its directory and never follows a symbolic link, so
whatever a snapshot says and whatever the target holds, nothing outside of it is touched. The
target itself may be a symbolic link: the user named it, and it is resolved once.

Directories are made on first use, with mode 0700, and get their metadata last. At most
`MAX_OPEN` are open at a time; the others are opened again when needed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from holdfast.closing import Closing
from holdfast.errors import TargetError
from holdfast.fs.source import describe, display
from holdfast.fs.target_problems import EntryError, TargetProblems
from holdfast.fs.target_rewrite import Identity, identity_of, unlock
from holdfast.fs.target_swap import unlink_quietly

MAX_OPEN: Final = 256
DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEFAULT_ACL: Final = "system.posix_acl_default"
_ACCESS_ACL: Final = "system.posix_acl_access"
_MOUNTED: Final = "not deleted: another file system, or another directory, is mounted there"


class TargetDirectory:
    """One directory of the target."""

    __slots__ = (
        "exists",
        "fd",
        "fresh",
        "inherits_acl",
        "known",
        "name",
        "new_gid",
        "parent",
        "path",
        "replaces",
        "unlock",
    )

    def __init__(self, parent: TargetDirectory | None, name: bytes, path: bytes) -> None:
        """Describe a directory; nothing is made or opened.

        Args:
            parent: the directory above, None for the target itself.
            name: its name there.
            path: its path below the target, empty for the target itself, else with "/" first.
        """
        self.parent = parent
        self.name = name
        self.path = path
        self.fd = -1
        self.exists = False
        self.fresh = False
        """Made by this run: whatever is in it came from here."""
        self.known = False
        """The next two are right; they are looked up once."""
        self.new_gid = -1
        """Group of files created here without a word; -1 if that is not certain."""
        self.inherits_acl = False
        """A default ACL gives everything created here attributes that no snapshot holds."""
        self.replaces = False
        """When it is made, an entry that is no directory gives way to it."""
        self.unlock = False
        """It may be given its owner's rights if it cannot be opened without."""

    def child(self, name: bytes) -> TargetDirectory:
        """Describe a directory in this one."""
        return TargetDirectory(self, name, self.path + b"/" + name)


class TargetTree(Closing):
    """The target directory and the open descriptors below it. One thread; a context manager."""

    def __init__(self, location: bytes, problems: TargetProblems) -> None:
        """Describe the target; `prepare` makes it."""
        self.location = location
        self.problems = problems
        self.root = TargetDirectory(None, b"", b"")
        self.uid = os.geteuid()
        self._gid = os.getegid()
        self.masked_bits = 0o7000 | _umask()
        """Mode bits that a new file lacks even if asked for."""
        self.protected: frozenset[Identity] = frozenset()
        """What nothing at or below is changed of."""
        self._open: deque[TargetDirectory] = deque()
        self.on_close: Callable[[], None] = do_nothing
        """Called before descriptors of directories are closed: who uses them must finish."""

    def close(self) -> None:
        """Close all directories; harmless if repeated."""
        for directory in (*self._open, self.root):
            if directory.fd >= 0:
                os.close(directory.fd)
                directory.fd = -1
        self._open.clear()

    def protect(self, paths: Iterable[bytes]) -> None:
        """Leave alone what is at these paths now; those that are not there do not matter."""
        identities = set()
        for path in paths:
            try:
                identities.add(identity_of(os.stat(path)))
            except OSError:
                continue
        self.protected = frozenset(identities)

    def is_protected(self, found: os.stat_result) -> bool:
        """Tell whether an entry, of which lstat says `found`, must be left alone."""
        return bool(self.protected) and identity_of(found) in self.protected

    def look(self) -> bool:
        """Open the target if it exists and tell whether it does.

        Raises:
            TargetError: it exists and is no readable directory.
        """
        root = self.root
        try:
            root.fd = os.open(self.location, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise TargetError(display(self.location), describe(error)) from error
        root.exists = True
        self._note_inheritance(root)
        return True

    def prepare(self) -> list[bytes]:
        """Make the target, with mode 0700, and the directories above it that are missing.

        Returns:
            The paths that were made, the outermost first.

        Raises:
            TargetError: that is not possible.
        """
        missing: list[bytes] = []
        if self.root.exists:
            return missing
        path = os.path.abspath(self.location)
        while not os.path.lexists(path):
            missing.insert(0, path)
            path = os.path.dirname(path)
        try:
            for path in missing:
                os.mkdir(path, 0o700 if path is missing[-1] else 0o777)
        except OSError as error:
            raise TargetError(display(self.location), describe(error)) from error
        if not missing or not self.look():
            raise TargetError(display(self.location), "it is a symbolic link that leads nowhere")
        self.root.fresh = True
        return missing

    def open(self, directory: TargetDirectory) -> int:
        """Return a directory's descriptor, making what does not exist.

        The descriptor stays valid until other directories were opened.

        Raises:
            OSError: it cannot be made or opened, or is no directory any more.
        """
        if directory.fd >= 0:
            return directory.fd
        missing = [directory]
        above = directory.parent
        while above is not None and above.fd < 0:
            missing.append(above)
            above = above.parent
        assert above is not None, "the target itself stays open"
        fd = above.fd
        for below in reversed(missing):
            fd = self._open_one(fd, below)
        return fd

    def close_directory(self, directory: TargetDirectory) -> None:
        """Close a directory that is not needed any more."""
        if directory.fd >= 0 and directory.parent is not None:
            self.on_close()
            os.close(directory.fd)
            directory.fd = -1
            self._open.remove(directory)

    def names(self, directory: TargetDirectory) -> set[bytes]:
        """Return the names in a directory."""
        return {os.fsencode(name) for name in os.listdir(self.open(directory))}

    def stat(self, directory: TargetDirectory, name: bytes) -> os.stat_result:
        """Return what lstat says of an entry."""
        return os.stat(name, dir_fd=self.open(directory), follow_symlinks=False)

    def remove(
        self,
        directory: TargetDirectory,
        name: bytes,
        keep: Callable[[bytes, bool], bool] | None = None,
    ) -> int:
        """Remove an entry, a directory with everything in it.

        Args:
            directory: where it is.
            name: its name.
            keep: called with (path below the target, whether it is a directory); what it answers
                True for stays, and so do the directories above.

        Returns:
            How many entries were removed. Nothing on other file systems is, nothing protected.

        Raises:
            OSError: the entry cannot be removed.
        """
        found = self.stat(directory, name)
        if self.is_protected(found):
            return 0
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=self.open(directory))
            return 1
        removed = 0
        top = self._existing_child(directory, name)
        if self.is_mount_point(top):
            self.problems.tally(_MOUNTED, top.path)
            return 0
        stack = [(top, iter(self._names_to_remove(top)))]
        while stack:
            current, names = stack[-1]
            inner = next(names, None)
            if inner is None:
                stack.pop()
                removed += self._remove_directory(current)
                continue
            entry = self.stat(current, inner)
            is_directory = stat.S_ISDIR(entry.st_mode)
            if self.is_protected(entry) or (
                keep is not None and keep(current.path + b"/" + inner, is_directory)
            ):
                continue
            if not is_directory:
                os.unlink(inner, dir_fd=self.open(current))
                removed += 1
                continue
            below = self._existing_child(current, inner)
            if self.is_mount_point(below):
                self.problems.tally(_MOUNTED, below.path)
            else:
                stack.append((below, iter(self._names_to_remove(below))))
        return removed

    def is_mount_point(self, directory: TargetDirectory) -> bool:
        """Tell whether something is mounted on a directory below the target.

        That is a file system, or by a bind mount another directory of the same one.

        Raises:
            OSError: it cannot be opened.
        """
        parent = directory.parent
        if parent is None:
            return False
        inside = _mount_of(self.open(directory))
        return inside != _mount_of(self.open(parent))

    def can_replace(self, directory: TargetDirectory, fd: int) -> bool:
        """Tell whether a new file can take the name of one in a directory that is open as `fd`.

        Not where its user may write to the file alone, and not if the file itself is mounted.
        """
        dir_fd = self.open(directory)
        may_write = os.access(b".", os.W_OK, dir_fd=dir_fd, effective_ids=True)
        return may_write and _mount_of(dir_fd) == _mount_of(fd)

    def remove_leftover(self, directory: TargetDirectory, name: bytes) -> None:
        """Remove what a restore that was killed has left under a temporary name."""
        unlink_quietly(name, self.open(directory))

    def clear_inherited(self, fd: int, *, is_directory: bool) -> None:
        """Remove the ACLs that a new entry got from its directory's default ACL."""
        for name in (_ACCESS_ACL, _DEFAULT_ACL) if is_directory else (_ACCESS_ACL,):
            try:
                os.removexattr(fd, name)
            except OSError:
                pass  # there was none

    def _existing_child(self, directory: TargetDirectory, name: bytes) -> TargetDirectory:
        child = directory.child(name)
        child.exists = True
        child.unlock = True
        return child

    def _names_to_remove(self, directory: TargetDirectory) -> set[bytes]:
        self.make_writable(directory)
        return self.names(directory)

    def _remove_directory(self, directory: TargetDirectory) -> int:
        """Remove a directory unless something in it was kept; return how many are gone."""
        assert directory.parent is not None
        self.close_directory(directory)
        try:
            os.rmdir(directory.name, dir_fd=self.open(directory.parent))
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
                return 0
            raise
        return 1

    def _open_one(self, parent_fd: int, directory: TargetDirectory) -> int:
        made = not directory.exists
        if made:
            if directory.replaces:
                unlink_quietly(directory.name, parent_fd)
            os.mkdir(directory.name, 0o700, dir_fd=parent_fd)
        try:
            fd = os.open(directory.name, DIRECTORY_FLAGS, dir_fd=parent_fd)
        except PermissionError:
            if not directory.unlock:
                raise
            unlock(directory.name, parent_fd, 0o700)
            fd = os.open(directory.name, DIRECTORY_FLAGS, dir_fd=parent_fd)
        directory.fd = fd
        directory.exists = True
        if made:
            directory.fresh = True
            if directory.parent is not None and directory.parent.inherits_acl:
                self.clear_inherited(fd, is_directory=True)
            self._note_group(directory, os.fstat(fd))
        elif not directory.known:
            self._note_inheritance(directory)
        self._open.append(directory)
        if len(self._open) > MAX_OPEN:
            self.on_close()
            for _ in range(MAX_OPEN // 2):
                oldest = self._open.popleft()
                os.close(oldest.fd)
                oldest.fd = -1
        return fd

    def _note_inheritance(self, directory: TargetDirectory) -> None:
        found = os.fstat(directory.fd)
        self._note_group(directory, found)
        try:
            directory.inherits_acl = bool(os.getxattr(directory.fd, _DEFAULT_ACL))
        except OSError:
            directory.inherits_acl = False

    def _note_group(self, directory: TargetDirectory, found: os.stat_result) -> None:
        # A set-group-id bit or a mount option makes new entries take their directory's group;
        # where both groups are equal it does not matter.
        directory.known = True
        directory.new_gid = self._gid if found.st_gid == self._gid else -1

    def make_writable(self, directory: TargetDirectory) -> None:
        """Give the owner of an existing directory the rights to change it, if possible."""
        fd = self.open(directory)
        mode = os.fstat(fd).st_mode
        if mode & 0o700 != 0o700:
            try:
                os.fchmod(fd, stat.S_IMODE(mode) | 0o700)
            except EntryError:
                pass  # writing into it will tell


def do_nothing() -> None:
    """Nobody else uses the descriptors."""


def _mount_of(fd: int) -> tuple[int, bytes]:
    """Return the file system's device and the id of the mount that a descriptor was opened in."""
    mount = b""
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as info:
            mount = next((line for line in info if line.startswith(b"mnt_id:")), b"")
    except OSError:
        pass  # a system without /proc; bind mounts are not told then
    return os.fstat(fd).st_dev, mount


def _umask() -> int:
    """Return the process's umask without changing it, even for a moment."""
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith(b"Umask:"):
                    return int(line.split()[1], 8)
    except OSError:
        pass
    return 0o777
