"""From a prepared base backup to a moment after it, by the archived binary logs.

A server of our own runs on the data directory; one client session takes what mariadb-binlog makes of
one archived file after the other. At its end the session tells the server to shut down cleanly.

What happened in the second that is named is left out, and so is all after it: of two changes
in one second nobody could say which was meant.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from holdfast.database_errors import DatabaseDamagedError, LogGapError
from holdfast.errors import ConfigurationError, TargetError
from holdfast.sources.base import LogReader, RestoreTo
from holdfast.sources.mariadb.binlog import (
    begin_s,
    end_s,
    fingerprint,
    first_event,
    in_order,
    is_gap,
    last_event_s,
    number_of,
    run_from,
)
from holdfast.sources.mariadb.connection import Connection
from holdfast.sources.mariadb.logical_target import CLIENT
from holdfast.sources.mariadb.private_server import ACCOUNT, FORGET_ACCOUNT, PrivateServer
from holdfast.sources.process import Tool

OnProgress = Callable[[str, int], None]

POSITION: Final = "position"
_NS: Final = 1_000_000_000
_PIECE: Final = 1 << 20
_END: Final = b"\n" + FORGET_ACCOUNT + b"SHUTDOWN;\n"


@dataclass(frozen=True, slots=True)
class Until:
    """How far to go: up to a second, or a position in a file, both exclusive; else to the end."""

    second: int | None = None
    file: str | None = None
    position: int = 0

    def words(self, name: str) -> list[str]:
        """Return what mariadb-binlog is told for a file."""
        if self.second is not None:
            return [f"--stop-datetime={_text(self.second)}"]
        return [f"--stop-position={self.position}"] if name == self.file else []


def parse_until(to: RestoreTo) -> Until | None:
    """Return how far a restore shall go beyond its base backup; None for not at all.

    An archive without a target means: as far as it goes.

    Raises:
        ConfigurationError: no such target, or several.
    """
    unknown = sorted(set(to.target) - {POSITION})
    if unknown:
        raise ConfigurationError(
            f"{unknown[0]!r} is no recovery target of MariaDB",
            f"give a time, or {POSITION}=FILE:OFFSET",
        )
    if len(to.target) + (to.target_time_ns is not None) > 1:
        raise ConfigurationError("there are several recovery targets", "give one")
    if to.target_time_ns is not None:
        return Until(second=to.target_time_ns // _NS)
    if (where := to.target.get(POSITION)) is not None:
        file, _, offset = where.rpartition(":")
        if number_of(file) is None or not offset.isdigit():
            raise ConfigurationError(
                f"{where!r} is no position", "write it as FILE:OFFSET: binlog.000012:4711"
            )
        return Until(file=file, position=int(offset))
    return None if to.logs is None else Until()


class Replay:
    """Brings a prepared data directory forward.

    Args:
        connection: the tools.
        logs: the archive; None if there is none.
        properties: what the base backup has noted.
        until: how far.
        scratch: existing directory with room for one log.
    """

    def __init__(
        self,
        connection: Connection,
        logs: LogReader | None,
        properties: Mapping[str, str],
        until: Until,
        scratch: str,
    ) -> None:
        self._connection = connection
        self._scratch = scratch
        self._properties = properties
        self._until = until
        start = properties.get("log_start")
        if start is None or not properties.get("log_position", "").isdigit():
            raise ConfigurationError(
                "the server wrote no binary log when this backup was made",
                "only the end of the backup itself can be restored",
            )
        if logs is None:
            raise LogGapError(start, "the repository has no binary logs of this server")
        self._logs = logs
        self._start = start

    def check(self) -> list[str]:
        """Return the files that will be replayed, in order.

        Raises:
            LogGapError: one is missing, or the archive ends before the moment.
            ConfigurationError: the moment lies before the end of the backup.
            DatabaseDamagedError: the archive's files are not those of the backup's server.
        """
        self._require_after_backup()
        names = in_order(segment.name for segment in self._logs.segments())
        run, missing = run_from(names, self._start)
        until = self._until
        with tempfile.TemporaryDirectory(prefix="holdfast-", dir=self._scratch) as scratch:
            first = self._fetch(self._start, scratch)
            with open(first, "rb") as file:
                found = fingerprint(first_event(file, self._start))
            wanted = self._properties.get("log_fingerprint", found)
            if found != wanted:
                raise DatabaseDamagedError(
                    self._start,
                    "the archived file of this name is another: the server's binary logs began anew "
                    "with the same name, so the archive does not continue this backup",
                )
            if until.second is not None:
                os.unlink(first)
                self._require_reached(run, missing, until.second, scratch)
        if until.file is not None:
            if until.file not in run:
                raise LogGapError(missing, f"it comes before {until.file}")
            return run[: run.index(until.file) + 1]
        if until.second is None and is_gap(names, missing):
            raise LogGapError(missing, "later ones are there")
        return run

    def _require_after_backup(self) -> None:
        until = self._until
        ended_ns = self._properties.get("end_time_ns", "")
        ended = int(ended_ns) // _NS if ended_ns.isdigit() else 0
        if until.second is not None and until.second <= ended:
            raise ConfigurationError(
                f"the backup was complete at {_text(ended)} UTC, which is not before "
                f"{_text(until.second)} UTC",
                "choose an earlier backup or a later moment",
            )
        at_start = until.file == self._start
        before = until.position < int(self._properties["log_position"])
        if until.file is not None and (
            (at_start and before) or (number_of(until.file) or 0) < (number_of(self._start) or 0)
        ):
            raise ConfigurationError(
                f"the backup is of the position {self._start}:{self._properties['log_position']}, "
                f"which is not before {until.file}:{until.position}",
                "choose an earlier backup or a later position",
            )

    def _require_reached(self, run: Sequence[str], missing: str, second: int, scratch: str) -> None:
        """Refuse a moment after the last archived event: what happened then is not known."""
        path = self._fetch(run[-1], scratch)
        with open(path, "rb") as file:
            ended = end_s(file, run[-1], os.path.getsize(path))
            if ended is None:
                ended = last_event_s(file, run[-1])
        os.unlink(path)
        if ended < second:
            raise LogGapError(
                missing,
                f"what is archived without it ends at {_text(ended)} UTC; `holdfast binlog-push "
                "--flush` archives what the server still has",
            )

    def run(
        self, data: str, names: Sequence[str], defaults: str | None, on_progress: OnProgress
    ) -> None:
        """Replay into a prepared data directory, which is shut down cleanly on return.

        Args:
            data: the directory.
            names: what `check` returned.
            defaults: option file of the server.
            on_progress: told the file, and how many bytes of statements it has become.

        Raises:
            ToolFailedError: a statement failed; the directory is of no use then.
        """
        connection = self._connection
        arguments = []
        case = self._properties.get("lower_case_table_names", "")
        if case.isdigit():
            arguments.append(f"--lower-case-table-names={case}")
        with (
            tempfile.TemporaryDirectory(prefix="holdfast-", dir=self._scratch) as scratch,
            PrivateServer(connection, data, arguments, defaults) as server,
        ):
            words = [connection.tool("client"), "--no-defaults", f"--socket={server.socket}"]
            words += [f"--user={ACCOUNT}", "--local-infile=1", *CLIENT]
            with Tool(words, server.environment, stdin=True, stdout=False) as client:
                for name in names:
                    if not self._replay(name, scratch, client, on_progress):
                        break
                client.write(_END)
                client.finish()
            server.wait()

    def _replay(self, name: str, scratch: str, client: Tool, on_progress: OnProgress) -> bool:
        """Replay one file; return whether later ones can matter."""
        # A whole file is verified before a statement of it is believed, hence a file on disk.
        path = self._fetch(name, scratch)
        with open(path, "rb") as file:
            began = begin_s(first_event(file, name))
        until = self._until
        if until.second is not None and began >= until.second:
            return False
        words = [self._connection.tool("binlog"), "--no-defaults", f"--local-load={scratch}"]
        if name == self._start:
            words.append(f"--start-position={self._properties['log_position']}")
        words += [*until.words(name), path]
        view = memoryview(bytearray(_PIECE))
        with Tool(words, self._connection.environment) as reader:
            while size := reader.readinto(view):
                client.write(view[:size])
                on_progress(name, size)
            reader.finish()
        os.unlink(path)
        return True

    def _fetch(self, name: str, scratch: str) -> str:
        path = os.path.join(scratch, name.replace("/", "_"))
        with open(path, "wb") as file:
            try:
                self._logs.fetch(name, file.write)
            except OSError as error:
                raise TargetError(scratch, (error.strerror or str(error)).lower()) from error
        return path


def _text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")
