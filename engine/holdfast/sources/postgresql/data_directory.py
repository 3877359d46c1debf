"""The data directory that a physical backup of PostgreSQL is restored to.

Everything is written below one subdirectory first, compared with the manifest and configured, and
only then moved to its place, the file PG_VERSION last: whatever ends the restore before, no server
starts on half of a cluster, and with `overwrite` the old one is there until the new one is
complete. That needs room for both, and works where the directory itself cannot be renamed, as a
mount point.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from holdfast.database_errors import (
    DatabaseDamagedError,
    DatabaseNotEmptyError,
    ToolFailedError,
    ToolNotFoundError,
)
from holdfast.errors import ConfigurationError, TargetError
from holdfast.sources.base import LogReader, RestoreTo, StoredFiles
from holdfast.sources.postgresql.connection import Connection, check_settings, installed
from holdfast.sources.postgresql.recovery import Recovery, configured, plan_recovery
from holdfast.sources.postgresql.wal import WalKind, parse_name
from holdfast.sources.process import first_version, run_tool
from holdfast.sources.replacing import sync_directory

STAGE: Final = "holdfast-restore.tmp"
"""Below the data directory: what is being restored, until it is complete."""
_IGNORED: Final = {STAGE, "lost+found"}
_NEEDED: Final = (b"PG_VERSION", b"backup_label", b"global/pg_control", b"backup_manifest")
_LEFT_OVER: Final = ("standby.signal", "recovery.signal", "postmaster.pid", "postmaster.opts")
"""What would make the restored server another one than it is to be."""
_VERSION_FILE: Final = "PG_VERSION"
_AUTO_CONF: Final = "postgresql.auto.conf"
_VERIFIER: Final = "pg_verifybackup"
_LABEL: Final = "data directory"
_NOT_VERIFIED: Final = (
    f"{_VERIFIER} of this version is not installed here, so the files were not compared with the "
    f"server's manifest; `{_VERIFIER} -i {_AUTO_CONF}` does that before the first start"
)


class DataDirectory:
    """See `DatabaseTarget`.

    Args:
        to: `directory` is the data directory, absent or empty unless it is to be replaced.

    Raises:
        ConfigurationError: there is no directory, or databases are named.
    """

    def __init__(self, to: RestoreTo) -> None:
        check_settings(to.options, ())
        if to.directory is None:
            raise ConfigurationError(
                "a physical backup is restored to a data directory", "name it with --target"
            )
        if to.options.names or to.renamed:
            raise ConfigurationError(
                "a physical backup is restored with all its databases",
                "name none; to get one of them, restore to a server of its own and dump it there",
            )
        self._to = to
        self._directory = os.path.abspath(to.directory)
        self._connection = Connection(to.options)

    def check(self, files: StoredFiles) -> None:
        """Look whether the backup is whole, the target makes sense, and nothing is in the way."""
        for path in _NEEDED:
            if not files.has(path):
                raise DatabaseDamagedError("the server", f"it holds no {path.decode()}")
        self._recovery(files)
        self._check_place()

    def plan(self, files: StoredFiles) -> Sequence[str]:
        """Return what would be done."""
        recovery = self._recovery(files)
        version = _version_of(files)
        lines = [f"restore the data directory of PostgreSQL {version} to {self._directory}"]
        if self._in_the_way():
            lines.insert(0, f"replace what is in {self._directory}")
        source = "archived log" if recovery.from_archive else "log in the backup"
        lines.append(f"prepare recovery from the {source}, {recovery.description}")
        return lines

    def restore(self, files: StoredFiles, on_progress: Callable[[str, int], None]) -> Sequence[str]:
        """Restore the directory; return how the server is to be started.

        Raises:
            DatabaseDamagedError: what was restored does not agree with the manifest; it was
                removed again.
            TargetError: a file could not be written.
        """
        recovery = self._recovery(files)
        self._check_place()
        try:
            return self._restore(files, recovery, on_progress)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise TargetError(self._directory, reason) from error

    def _recovery(self, files: StoredFiles) -> Recovery:
        return plan_recovery(self._to, files.properties, _histories(self._to.logs))

    def _restore(
        self, files: StoredFiles, recovery: Recovery, on_progress: Callable[[str, int], None]
    ) -> Sequence[str]:
        directory, stage = self._directory, os.path.join(self._directory, STAGE)
        owner, version = _owner_of(directory), _version_of(files)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        _remove(stage)
        try:
            files.extract(b"", stage)
            on_progress(_LABEL, sum(os.lstat(path).st_size for path in _files_below(stage)))
            verified = self._verify(stage, version)
        except BaseException:
            _remove(stage)
            raise
        mode = stat.S_IMODE(os.stat(os.path.join(stage, "global")).st_mode)
        owner = owner or _owner_of(os.path.join(stage, _VERSION_FILE))
        _configure(stage, recovery)
        if os.geteuid() == 0 and owner is not None:
            for path in (stage, *_files_below(stage, directories=True)):
                os.lchown(path, *owner)
            os.chown(directory, *owner)
        sync_directory(stage)
        _replace(stage, directory)
        # The server starts on 0700, or 0750 if initdb was told so.
        os.chmod(directory, 0o750 if mode & 0o050 else 0o700)
        return [*verified, *self._what_next(version, recovery)]

    def _check_place(self) -> None:
        directory = self._directory
        if not os.path.isdir(directory):
            if os.path.lexists(directory):
                raise DatabaseNotEmptyError(directory, "it is no directory")
            return
        if _server_runs(directory):
            raise DatabaseNotEmptyError(directory, "a server runs on it; stop that first")
        in_the_way = self._in_the_way()
        if in_the_way and not self._to.overwrite:
            raise DatabaseNotEmptyError(directory, f"it holds {in_the_way[0]}")

    def _in_the_way(self) -> list[str]:
        try:
            return sorted(set(os.listdir(self._directory)) - _IGNORED)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _verify(self, stage: str, version: str) -> list[str]:
        """Compare every file with the manifest, by PostgreSQL's own program where it is."""
        program = self._find_verifier(version)
        if program is None:
            return [_NOT_VERIFIED]
        try:
            run_tool([program, "-q", stage], self._connection.environment)
        except ToolFailedError as error:
            raise DatabaseDamagedError("the server", error.said or error.reason) from error
        return []

    def _find_verifier(self, version: str) -> str | None:
        """Return a pg_verifybackup of the cluster's own version: it reads the log, too."""
        try:
            found = [self._connection.tool(_VERIFIER)]
        except ToolNotFoundError:
            return None
        if self._to.options.tools is None:
            found += installed(_VERIFIER)
        for path in dict.fromkeys(found):
            said = run_tool([path, "--version"], self._connection.environment)
            if first_version(said)[0] == int(version):
                return path
        return None

    def _what_next(self, version: str, recovery: Recovery) -> Iterator[str]:
        directory = self._directory
        owner = _name_of(os.stat(directory).st_uid)
        if owner is None or owner == "root":
            yield (
                f"give {directory} to the user that the server runs as: chown -R postgres: {directory}"
            )
        if not os.path.exists(os.path.join(directory, "postgresql.conf")):
            yield (
                "the server's configuration files lie outside of its data directory (Debian: below "
                "/etc/postgresql) and are not part of this backup; restore them with your files"
            )
        yield (
            f"start PostgreSQL {version} on {directory} as {owner or 'its owner'}; it recovers "
            f"{recovery.description} by itself, which its log shows"
        )
        if not recovery.from_archive:
            return
        yield (
            "then look at the data; the server has begun a new timeline, so make a new physical "
            "backup of it soon"
        )
        yield (
            "if the old server goes on, start this one with archive_mode = off: else its timeline is "
            "the newest in the archive, which later recoveries follow unless told another"
        )
        yield (
            "if its log says that recovery ended before the target, nothing so late was archived: "
            f"remove the lines recovery_target… from {os.path.join(directory, _AUTO_CONF)} and start "
            "again"
        )


def _histories(logs: LogReader | None) -> dict[int, bytes] | None:
    """Return the archived histories of timelines; None if there is no archive to look at.

    Raises:
        IntegrityError: one is damaged: nobody knows where its timeline leads.
    """
    if logs is None:
        return None
    found = {}
    for segment in logs.segments():
        name = parse_name(segment.name)
        if name is not None and name.kind is WalKind.HISTORY:
            content = bytearray()
            logs.fetch(segment.name, content.extend)
            found[name.timeline] = bytes(content)
    return found


def _replace(stage: str, directory: str) -> None:
    """Move what is in `stage` to `directory`, instead of what is there."""
    version = os.path.join(directory, _VERSION_FILE)
    if os.path.lexists(version):
        os.unlink(version)
        sync_directory(directory)
    for name in os.listdir(directory):
        if name not in _IGNORED:
            _remove(os.path.join(directory, name))
    names = sorted(os.listdir(stage), key=lambda name: name == _VERSION_FILE)
    for name in names[:-1]:
        os.rename(os.path.join(stage, name), os.path.join(directory, name))
    sync_directory(directory)
    os.rename(os.path.join(stage, _VERSION_FILE), version)
    os.rmdir(stage)
    sync_directory(directory)


def _configure(stage: str, recovery: Recovery) -> None:
    for name in _LEFT_OVER:
        _remove(os.path.join(stage, name))
    path = os.path.join(stage, _AUTO_CONF)
    try:
        with open(path, "rb") as file:
            existing = file.read()
    except FileNotFoundError:
        existing = b""
    _write(path, configured(existing, recovery.settings))
    if recovery.from_archive:
        _write(os.path.join(stage, "recovery.signal"), b"")


def _write(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _files_below(top: str, *, directories: bool = False) -> Iterator[str]:
    for base, below, names in os.walk(top):
        for name in [*names, *below] if directories else names:
            yield os.path.join(base, name)


def _version_of(files: StoredFiles) -> str:
    """Return the cluster's major version; raises DatabaseDamagedError if its file holds none."""
    text = b"".join(files.read(b"PG_VERSION")).decode("ascii", "replace").strip()
    if not text.isascii() or not text.isdecimal():
        raise DatabaseDamagedError("the server", f"{_VERSION_FILE} holds {text[:40]!r}")
    return text


def _owner_of(path: str) -> tuple[int, int] | None:
    """Return user and group of a file; None if it does not exist, or is root's."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return (status.st_uid, status.st_gid) if status.st_uid else None


def _name_of(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _server_runs(directory: str) -> bool:
    """Tell whether a server of this machine has the directory open."""
    try:
        with open(os.path.join(directory, "postmaster.pid"), encoding="ascii") as file:
            pid = abs(int(file.readline()))
        os.kill(pid, 0)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True
