"""What the commands about databases share: options, and which snapshot of a database is meant."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from holdfast.errors import ConfigurationError, SnapshotNotFoundError
from holdfast.format.snapshot import DatabaseRecord, Snapshot
from holdfast.policy.selection import LATEST, SnapshotFilter, resolve, select
from holdfast.sources.base import DatabaseOptions, Method
from holdfast.sources.registry import Kind, find_kind
from holdfast_cli.options import read_environment
from holdfast_cli.output.names import printable, short_id
from holdfast_cli.snapshot_options import display_paths
from holdfast_cli.times import format_local

R = TypeVar("R")

METHODS: Final = [method.value for method in Method]
_INSTANCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST_PORT: Final = 65535


class NoDatabaseSnapshotError(SnapshotNotFoundError):
    """No snapshot of a database fits."""

    def __str__(self) -> str:
        suffix = f" that matches {self.filters}" if self.filters else ""
        return (
            f"there is no snapshot of a database{suffix}; `holdfast snapshots` shows what there is, "
            "and `holdfast backup-db` makes one"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFilter:
    """Which snapshots of databases are considered by `latest`; an empty part lets all pass."""

    common: SnapshotFilter
    kind: str | None = None
    instance: str | None = None
    method: Method | None = None
    ended_by_ns: int | None = None
    """Only those whose backup had ended by this moment."""

    def matches(self, snapshot: Snapshot) -> bool:
        """Tell whether a snapshot passes."""
        record = snapshot.database
        if record is None or snapshot.partial or not self.common.matches(snapshot):
            return False
        wanted = (self.kind, self.instance, self.method)
        found = (record.kind, record.instance, record.method)
        end_ns = snapshot.time_ns + snapshot.stats.duration_ns
        return all(one in (None, other) for one, other in zip(wanted, found, strict=True)) and (
            self.ended_by_ns is None or end_ns <= self.ended_by_ns
        )

    def __str__(self) -> str:
        parts = [str(self.common)] if str(self.common) else []
        for name in ("kind", "instance", "method"):
            value = getattr(self, name)
            parts += [f"{name} {value}"] if value else []
        if self.ended_by_ns is not None:
            parts.append(f"complete by {format_local(self.ended_by_ns)}")
        return ", ".join(parts)


# -- options --------------------------------------------------------------------------------------


def server_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add --db-host, --db-port and --db-user: where the server is."""
    return _decorate(
        function,
        click.option("--db-host", metavar="HOST",
                     help="The server's name, address or socket directory."),
        click.option("--db-port", type=click.IntRange(1, _MOST_PORT), metavar="PORT",
                     help="The server's port."),
        click.option("--db-user", metavar="USER", help="Log in to the server as USER."),
    )  # fmt: skip


def tool_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add --tools and --set: how the database's own programs are run."""
    return _decorate(
        function,
        click.option("--tools", metavar="DIR",
                     help="Directory of the database's own programs, instead of PATH."),
        click.option("--set", "settings", multiple=True, metavar="NAME=VALUE",
                     help="What only this kind of database knows; docs/databases.md lists them."),
    )  # fmt: skip


def choice_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add --kind, --instance and --method: which backup `latest` means."""
    return _decorate(
        function,
        click.option("--kind", metavar="KIND", help="Only backups of this kind of database."),
        click.option("--instance", metavar="NAME", help="Only backups of this server."),
        click.option("--method", type=click.Choice(METHODS), help="Only backups made so."),
    )  # fmt: skip


def _decorate(
    function: Callable[..., R], *decorators: Callable[[Callable[..., R]], Callable[..., R]]
) -> Callable[..., R]:
    """Apply decorators so that help shows their options in this order."""
    return functools.reduce(lambda decorated, each: each(decorated), reversed(decorators), function)


def make_options(
    given: Mapping[str, Any],
    *,
    names: Sequence[str] = (),
    instance: str = "main",
    method: Method | None = None,
) -> DatabaseOptions:
    """Return what the options of a command line say about a server and its tools.

    Raises:
        ConfigurationError: one of them makes no sense.
    """
    return DatabaseOptions(
        environment=tool_environment(),
        names=tuple(_checked(names)),
        instance=instance,
        method=method,
        host=given.get("db_host"),
        port=given.get("db_port"),
        user=given.get("db_user"),
        tools=given.get("tools"),
        settings=parse_pairs(given["settings"], "--set"),
    )


def tool_environment() -> dict[str, str]:
    """Return the environment without what concerns holdfast alone: its passwords are no tool's."""
    return {
        name: value for name, value in read_environment().items() if not name.startswith("HOLDFAST")
    }


def check_instance(name: str) -> str:
    """Return the name of an instance.

    Raises:
        ConfigurationError: it is none.
    """
    if not _INSTANCE.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot name an instance",
            "use up to 64 letters, digits, dots, - and _, beginning with a letter or digit",
        )
    return name


def parse_pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """Return what options like NAME=VALUE say.

    Raises:
        ConfigurationError: no name, or one that is given twice.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (name and sign):
            raise ConfigurationError(f"{option} {text!r} has no value", "write it as NAME=VALUE")
        if name in pairs:
            raise ConfigurationError(f"{option} {name} is given twice", "give it once")
        pairs[name] = value
    return pairs


def parse_renames(texts: Iterable[str], names: Sequence[str]) -> dict[str, str]:
    """Return what --rename says.

    Args:
        texts: OLD=NEW each.
        names: databases that are restored; empty for all.

    Raises:
        ConfigurationError: a new name is empty or given twice, or an old one is not restored.
    """
    renamed = parse_pairs(texts, "--rename")
    for old, new in renamed.items():
        if not new:
            raise ConfigurationError(f"--rename {old}= has no new name", "write it as OLD=NEW")
        if names and old not in names:
            raise ConfigurationError(
                f"--rename {old} is of a database that is not restored",
                "name it among the databases too",
            )
    if len(set(renamed.values())) < len(renamed):
        raise ConfigurationError("two databases are renamed to the same name", "choose another")
    return renamed


def _checked(names: Sequence[str]) -> Sequence[str]:
    if not all(names):
        raise ConfigurationError("the name of a database is empty", "leave it out for all")
    if len(set(names)) < len(names):
        raise ConfigurationError("a database is named twice", "name it once")
    return names


# -- snapshots ------------------------------------------------------------------------------------


def make_database_filter(
    given: Mapping[str, Any], common: SnapshotFilter, *, ended_by_ns: int | None = None
) -> DatabaseFilter:
    """Return the filter that --kind, --instance, --method and the common ones mean.

    Raises:
        ConfigurationError: there is no such kind.
    """
    method = given["method"]
    return DatabaseFilter(
        common=common,
        kind=find_kind(given["kind"])[0] if given["kind"] else None,
        instance=given["instance"],
        method=Method(method) if method else None,
        ended_by_ns=ended_by_ns,
    )


def choose_database(
    snapshots: Sequence[Snapshot], name: str, wanted: DatabaseFilter, names: Sequence[str] = ()
) -> tuple[Snapshot, DatabaseRecord]:
    """Return the snapshot of a database that a person means.

    Args:
        snapshots: all, ascending by time.
        name: "latest" or the beginning of an id.
        wanted: limits "latest".
        names: databases that are to be in it: where each has snapshots of its own, "latest" is the
            newest that has them.

    Raises:
        ConfigurationError: it is none of a database, or `latest` may mean several servers: what
            is restored over a server must not depend on which backup ran last.
        SnapshotNotFoundError, AmbiguousSnapshotError: none or several fit.
    """
    if name != LATEST:
        snapshot = resolve(snapshots, name, SnapshotFilter())
        if snapshot.database is None or snapshot.partial:
            raise ConfigurationError(
                f"snapshot {short_id(snapshot.id)} is none of a database",
                "`holdfast snapshots` shows which are; `holdfast restore` restores files",
            )
        return snapshot, snapshot.database
    fitting = [
        (each, each.database)
        for each in select(snapshots, wanted.common)
        if each.database is not None and wanted.matches(each)
    ]
    if not fitting:
        raise NoDatabaseSnapshotError(name, str(wanted))
    servers = {
        f"{record.kind} {record.instance} on {each.host}, {record.method}"
        for each, record in fitting
    }
    if len(servers) > 1:
        raise ConfigurationError(
            f"`latest` may mean several servers: {printable('; '.join(sorted(servers)))}",
            "say which one by --kind, --instance, --method or --host, or give the id of a snapshot",
        )
    having = [found for found in fitting if _may_have(*found, names)]
    return (having or fitting)[-1]


def _may_have(snapshot: Snapshot, record: DatabaseRecord, names: Sequence[str]) -> bool:
    """Tell whether databases are in a snapshot of a whole server, or among those it was made of."""
    base = f"/{record.kind}/{record.instance}/{record.method}"
    paths = display_paths(snapshot.raw_paths)
    return base in paths or all(f"{base}/{name.strip('/')}" in paths for name in names)


def find_recorded(record: DatabaseRecord) -> tuple[Kind, Method]:
    """Return the kind and the method that a snapshot was made by.

    Raises:
        ConfigurationError: this program does not know them.
    """
    _, kind = find_kind(record.kind)
    try:
        return kind, Method(record.method)
    except ValueError as error:
        raise ConfigurationError(
            f"this holdfast does not know the method {record.method!r}", "install a newer one"
        ) from error
