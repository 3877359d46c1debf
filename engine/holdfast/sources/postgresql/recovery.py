"""How far a restored data directory recovers, as the server is told by its configuration.

Without an archive of the log the server replays what the backup itself holds and goes on where the
backup ended. With one it fetches segments by the restore_command, stops at the target, and begins a
new timeline there: so it never archives other content under the name of a segment that the old
server has archived, or still does.

Pure. Source: PostgreSQL 15, "Recovery Target" and "Timelines".
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from holdfast.errors import ConfigurationError
from holdfast.sources.base import RestoreTo
from holdfast.sources.postgresql.manifest import parse_lsn

_TARGETS: Final = ("time", "xid", "lsn", "name")
_OTHERS: Final = ("timeline", "inclusive")
_LONGEST_NAME: Final = 63
_LATEST: Final = "latest"
_TIMELINE: Final = re.compile(r"latest|current|[1-9]\d{0,9}")
_OURS: Final = re.compile(
    rb"\s*(?:recovery_target\w*|restore_command|recovery_end_command|recovery_min_apply_delay"
    rb"|archive_cleanup_command|primary_conninfo|primary_slot_name|promote_trigger_file)\s*=?.*",
    re.IGNORECASE,
)
"""Lines of postgresql.auto.conf that an earlier recovery, or a life as a standby, has left."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the server is told."""

    settings: Mapping[str, str]
    """Name -> value; empty: it is told nothing and recovers what the backup holds."""
    description: str
    """For people, as the end of a sentence: "to the end of the backup"."""

    @property
    def from_archive(self) -> bool:
        """Whether segments of the log are fetched from the archive."""
        return bool(self.settings)


def plan_recovery(
    to: RestoreTo, properties: Mapping[str, str], histories: Mapping[int, bytes] | None = None
) -> Recovery:
    """Decide what the server is told.

    Args:
        to: what was asked for.
        properties: of the backup, as `PhysicalSource` notes them.
        histories: timeline -> content of its archived history; None: they are not known.

    Raises:
        ConfigurationError: the target makes no sense, or lies before the end of the backup.
    """
    wanted = {name: value.strip() for name, value in to.target.items()}
    if to.target_time_ns is not None:
        wanted["time"] = _time_text(to.target_time_ns)
    _check_names(wanted)
    if not to.log_command:
        if wanted:
            raise ConfigurationError(
                "a target of recovery needs the archived log, and there is none of this server",
                "leave the target away to restore the end of the backup",
            )
        return Recovery({}, "to the end of the backup")
    _check_reached(to, wanted, properties)
    settings = {"restore_command": _restore_command(to.log_command, to.log_absent_code)}
    chosen = next((name for name in _TARGETS if name in wanted), None)
    if chosen is not None:
        # This one only: not even an empty value of a second one is accepted by the server.
        settings[f"recovery_target_{chosen}"] = wanted[chosen]
    if wanted:
        timeline = wanted.get("timeline", _LATEST)
        if timeline == _LATEST and histories is not None:
            timeline = str(_newest(properties, histories))
    else:
        # Nothing later than the backup is wanted, whatever timelines have left it since.
        settings["recovery_target"] = "immediate"
        timeline = "current"
    settings["recovery_target_timeline"] = timeline
    settings["recovery_target_inclusive"] = wanted.get("inclusive", "on")
    settings["recovery_target_action"] = "promote"
    if not wanted:
        return Recovery(settings, "to the end of the backup")
    if chosen is None:
        return Recovery(settings, "to the end of the archived log")
    return Recovery(settings, f"to {chosen} {wanted[chosen]}")


def _newest(properties: Mapping[str, str], histories: Mapping[int, bytes]) -> int:
    """Return the newest timeline that the backup can go on to.

    The server would take the newest of all, and refuse to start if that one had left the backup's
    timeline before the backup was made, as after a recovery elsewhere that archived here, too.
    """
    own = int(properties.get("timeline", "1"))
    stop = parse_lsn(properties.get("stop_lsn", "")) or 0
    return max([own, *(line for line, text in histories.items() if _leads_to(text, own, stop))])


def _leads_to(history: bytes, own: int, stop: int) -> bool:
    """Tell whether a timeline's history has left timeline `own` at address `stop` or later."""
    for line in history.decode("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == str(own):
            left = parse_lsn(words[1])
            return left is not None and left >= stop
    return False


def _check_names(wanted: Mapping[str, str]) -> None:
    for name, value in wanted.items():
        if name not in _TARGETS + _OTHERS:
            known = ", ".join((*_TARGETS[1:], *_OTHERS))
            raise ConfigurationError(f"PostgreSQL has no recovery target {name!r}", f"use {known}")
        if not value or not value.isprintable():
            raise ConfigurationError(f"the recovery target {name} has no proper value", "give one")
    targets = [name for name in _TARGETS if name in wanted]
    if len(targets) > 1:
        raise ConfigurationError(
            f"there can be one target of recovery and not {' and '.join(targets)}", "choose one"
        )
    for name, valid in (
        ("xid", wanted.get("xid", "0").isdecimal()),
        ("lsn", parse_lsn(wanted.get("lsn", "0/0")) is not None),
        ("name", len(wanted.get("name", "").encode()) <= _LONGEST_NAME),
        ("timeline", _TIMELINE.fullmatch(wanted.get("timeline", "latest")) is not None),
        ("inclusive", wanted.get("inclusive", "on") in ("on", "off")),
    ):
        if not valid:
            raise ConfigurationError(
                f"{wanted[name]!r} is no recovery target {name}", "see docs/databases.md"
            )


def _check_reached(to: RestoreTo, wanted: Mapping[str, str], properties: Mapping[str, str]) -> None:
    """See that the target does not lie before the backup's end: its files fit together only then."""
    end_ns = int(properties.get("end_time_ns", "0"))
    if to.target_time_ns is not None and to.target_time_ns < end_ns:
        raise ConfigurationError(
            f"the target {wanted['time']} lies before the end of this backup, {_time_text(end_ns)}",
            "choose an older backup, or a later time",
        )
    stop_text = properties.get("stop_lsn", "0/0")
    lsn, stop = parse_lsn(wanted.get("lsn", "")), parse_lsn(stop_text)
    if lsn is not None and stop is not None and lsn < stop:
        raise ConfigurationError(
            f"the target {wanted['lsn']} lies before the end of this backup, {stop_text}",
            "choose an older backup, or a later place in the log",
        )


def _restore_command(words: Sequence[str], absent_code: int) -> str:
    """Return a command that ends as it should also where the program cannot even start.

    The server takes 1 to 125 for the end of the log, and an interpreter without its modules ends
    with 1: only the program's own word for it may pass.
    """
    command = shlex.join(words).replace("%", "%%")
    if "\n" in command or "\r" in command:
        raise ConfigurationError(
            "the command that fetches log segments holds a line break",
            "use a location and a key file without one in their names",
        )
    guard = f"c=$?; test $c -eq {absent_code} && exit {absent_code}; exit 126"
    return f'{command} %f "%p" || {{ {guard}; }}'


def _time_text(time_ns: int) -> str:
    """Write a moment as PostgreSQL reads it, microseconds and the zone included."""
    moment = _EPOCH + timedelta(microseconds=time_ns // 1000)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f+00")


def configured(existing: bytes, settings: Mapping[str, str]) -> bytes:
    """Return the content of postgresql.auto.conf with other settings of recovery.

    Args:
        existing: its content in the backup.
        settings: to write at its end.
    """
    kept = [line for line in existing.splitlines() if not _OURS.fullmatch(line)]
    added = [
        f"{name} = '{_quoted(value)}'".encode("utf-8", "surrogateescape")
        for name, value in settings.items()
    ]
    return b"".join(line + b"\n" for line in kept + added)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
