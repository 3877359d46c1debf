"""Physical backups back into a data directory, and from there to a moment after the backup."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
from collections.abc import Callable, Sequence
from typing import Final

from holdfast.database_errors import DatabaseDamagedError, DatabaseNotEmptyError, ToolFailedError
from holdfast.errors import ConfigurationError, TargetError
from holdfast.sources.base import RestoreTo, StoredFiles
from holdfast.sources.mariadb.connection import Connection
from holdfast.sources.mariadb.physical import NAME_CHANGES
from holdfast.sources.mariadb.replay import Replay, Until, parse_until
from holdfast.sources.process import run_tool

OnProgress = Callable[[str, int], None]

OPTIONS_FILE: Final = "backup-my.cnf"
"""What the backup tool writes beside the files: options that InnoDB must be started with."""
_SERVER_USER: Final = "mysql"
_ASIDE: Final = ".before-restore"
_INCOMPLETE: Final = "holdfast-restore-is-not-complete"
"""A file that lies in a data directory until its restore has ended well."""
_LOCKED: Final = "ibdata1"
_MODE: Final = 0o700


class PhysicalTarget:
    """A data directory to make; see `DatabaseTarget`.

    Raises:
        ConfigurationError: no directory, or something that such backups do not know.
    """

    def __init__(self, to: RestoreTo, *, keep_owner: bool = False) -> None:
        if to.options.names or to.renamed:
            raise ConfigurationError(
                "physical backups are restored as a whole server",
                "leave the names of databases out, or choose a snapshot made with --method logical",
            )
        if to.directory is None:
            raise ConfigurationError(
                "a physical backup is restored into a directory", "name one with --target"
            )
        self._to = to
        self._data = os.path.abspath(to.directory)
        self._connection = Connection(to.options)
        self._until = parse_until(to)
        self._logs: list[str] | None = None
        self._owner = None if keep_owner else self._find_owner()

    def _find_owner(self) -> pwd.struct_passwd | None:
        """Return whose the files become: told, or the usual user if root restores."""
        name = self._to.options.settings.get("owner")
        try:
            if name is None:
                return pwd.getpwnam(_SERVER_USER) if os.geteuid() == 0 else None
            return pwd.getpwnam(name)
        except KeyError as error:
            if name is None:
                return None
            raise ConfigurationError(f"there is no user {name}", "correct --set owner") from error

    def check(self, files: StoredFiles) -> None:
        """Look whether tools fit, the directory is free, and the archive reaches the moment."""
        version = files.properties.get("server_version", "")
        self._connection.require_version("backup", version, same=True)
        if self._until is not None:
            self._connection.tool("binlog")
            self._connection.tool("client")
            self._connection.require_version("server", version, same=True)
        self._require_free()
        if self._until is not None:
            self._logs_to_replay(self._replay(files, self._until))

    def _require_free(self) -> None:
        try:
            there = len(os.listdir(self._data))
        except FileNotFoundError:
            return
        except OSError as error:
            raise TargetError(self._data, (error.strerror or str(error)).lower()) from error
        if there and not self._to.overwrite:
            raise DatabaseNotEmptyError(f"the directory {self._data}", f"it has {there} entries")
        if there and _is_in_use(self._data):
            raise DatabaseNotEmptyError(
                f"the directory {self._data}", "a server is running on it: stop it first"
            )

    def plan(self, files: StoredFiles) -> Sequence[str]:
        """Return what would be done."""
        lines = [f"restore the server's files into {self._data}"]
        if os.path.isdir(self._data) and os.listdir(self._data) and not self._is_leftover():
            lines.insert(0, f"move what is in {self._data} to {self._aside()}")
        lines.append("apply the redo log of the backup (mariadb-backup --prepare)")
        if self._until is not None:
            names = self._logs_to_replay(self._replay(files, self._until))
            lines.append(f"replay up to {len(names)} binary logs, from {names[0]} on")
        return lines

    def restore(self, files: StoredFiles, on_progress: OnProgress) -> Sequence[str]:
        """Restore, prepare, replay; return what is left to do.

        Raises:
            ToolFailedError: a step failed; the directory must not be used.
        """
        # The names are asked for before anything is changed: a gap must not cost a directory.
        replay = None if self._until is None else self._replay(files, self._until)
        names = [] if replay is None else self._logs_to_replay(replay)
        moved = self._make_room()
        files.extract(b"", self._data)
        os.chmod(self._data, _MODE)
        mark = os.path.join(self._data, _INCOMPLETE)
        with open(mark, "wb"):
            pass
        _apply_name_changes(self._data)
        on_progress("files", 0)
        try:
            self._prepare()
            on_progress("redo log", 0)
            if replay is not None:
                replay.run(self._data, names, self._defaults(), on_progress)
        except ToolFailedError as error:
            raise ToolFailedError(
                error.subject,
                error.reason,
                f"{error.said}; {self._data} is not complete and must not be used".lstrip("; "),
            ) from error
        self._give_away()
        os.unlink(mark)
        return self._what_is_left(moved)

    def _replay(self, files: StoredFiles, until: Until) -> Replay:
        scratch = os.path.dirname(self._data)
        while not os.path.isdir(scratch):
            scratch = os.path.dirname(scratch)
        return Replay(self._connection, self._to.logs, files.properties, until, scratch)

    def _logs_to_replay(self, replay: Replay) -> list[str]:
        """Return the logs to replay; found out once, since it costs reading some of them."""
        if self._logs is None:
            self._logs = replay.check()
        return self._logs

    def _is_leftover(self) -> bool:
        """Tell whether the directory is what a restore that failed has left."""
        return os.path.exists(os.path.join(self._data, _INCOMPLETE))

    def _aside(self) -> str:
        """Return where an old directory is moved to: nothing is there."""
        aside, number = self._data + _ASIDE, 1
        while os.path.lexists(aside):
            number += 1
            aside = f"{self._data}{_ASIDE}-{number}"
        return aside

    def _make_room(self) -> str | None:
        """Move an old directory away; return where to."""
        if not os.path.isdir(self._data) or not os.listdir(self._data):
            return None
        if self._is_leftover():
            shutil.rmtree(self._data)
            return None
        aside = self._aside()
        try:
            os.rename(self._data, aside)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise TargetError(self._data, f"it cannot be moved to {aside}: {reason}") from error
        return aside

    def _prepare(self) -> None:
        words = self._connection.words(
            "backup", "--prepare", f"--target-dir={self._data}", login=False
        )
        if not self._to.options.settings.get("defaults-file"):
            words.insert(1, "--no-defaults")
        run_tool(words, self._connection.environment)

    def _defaults(self) -> str | None:
        chosen = self._to.options.settings.get("defaults-file")
        path = os.path.join(self._data, OPTIONS_FILE)
        return chosen or (path if os.path.exists(path) else None)

    def _give_away(self) -> None:
        if self._owner is None:
            return
        user, group = self._owner.pw_uid, self._owner.pw_gid
        os.chown(self._data, user, group)
        for parent, directories, names in os.walk(self._data):
            for name in (*directories, *names):
                os.chown(os.path.join(parent, name), user, group, follow_symlinks=False)

    def _what_is_left(self, moved: str | None) -> list[str]:
        lines = []
        if moved is not None:
            lines.append(f"what was in {self._data} is in {moved} now: delete it when you are sure")
        if self._owner is None:
            lines.append("give the directory to the server's user (chown -R mysql:mysql)")
        lines.append(f"start the server with datadir={self._data}")
        lines.append(
            "if its binary logs are archived, give log_bin a new name first: they begin anew"
        )
        return lines


def _apply_name_changes(data: str) -> None:
    """Rename and delete what tables that changed during the backup ask for."""
    path = os.path.join(data, os.fsdecode(NAME_CHANGES))
    try:
        with open(path, encoding="utf-8") as file:
            changes = json.load(file)
    except FileNotFoundError:
        return
    except ValueError as error:
        raise DatabaseDamagedError("MariaDB", f"{NAME_CHANGES.decode()} is damaged") from error
    # In two steps: one file's new name may be another's old one.
    waiting = []
    for number, (stored, final) in enumerate(changes.items()):
        old = os.path.join(data, stored)
        if final is None:
            os.unlink(old)
            continue
        between = os.path.join(data, f"holdfast-name-{number}")
        os.rename(old, between)
        waiting.append((between, os.path.join(data, final)))
    for between, new in waiting:
        os.makedirs(os.path.dirname(new), exist_ok=True)
        os.rename(between, new)
    os.unlink(path)


def _is_in_use(data: str) -> bool:
    """Tell whether a server holds the lock on a data directory."""
    try:
        with open(os.path.join(data, _LOCKED), "r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
