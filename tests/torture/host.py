"""A host: its sources, its cache, its clock, and what it decides to do next."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from torture.process import Faults, Process, draw_faults
from torture.sources import Source, manifest_of
from torture.truth import Backup, Change, Expectation, Fate, Record, Truth

YEAR_S: Final = 365 * 24 * 3600.0
MANY: Final = 24
"""Snapshots from which on more are forgotten than are made."""


@dataclass(slots=True)
class Command:
    """A command line, and what has to be known when it ends."""

    kind: str
    words: list[str]
    stdin: Path | None = None
    backup: Backup | None = None
    """What is saved, or what is restored."""
    record: Record | None = None
    """What is read, undone or retagged."""
    target: Path | None = None
    change: Change | None = None
    expectation: Expectation | None = None


@dataclass(slots=True)
class Lane:
    """One command after the other; the two lanes of a host run at the same time."""

    name: str
    chance: random.Random
    command: Command | None = None
    process: Process | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """What all hosts have in common."""

    directory: Path
    seed: int
    patience_s: float
    longest_stop_s: float
    """A process is stopped."""
    hosts: tuple[str, ...]
    """Their names."""
    location: str = ""
    """Of the repository; empty for a directory beside everything else."""

    @property
    def repository(self) -> str:
        return self.location or str(self.directory / "repository")

    @property
    def events(self) -> Path:
        return self.directory / "events"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    def base(self, cache: Path) -> list[str]:
        """Return the global options of every command line."""
        key = str(self.directory / "key")
        return ["--json", "-r", self.repository, "--key-file", key, "--cache-dir", str(cache)]


@dataclass(slots=True)
class Host:
    """One machine that backs up and looks after the repository."""

    name: str
    place: Place
    truth: Truth
    source: Source = field(init=False)
    lanes: list[Lane] = field(init=False)
    skew_s: float = 0.0
    caches_lost: int = 0
    _targets: int = 0

    def __post_init__(self) -> None:
        seed = f"{self.place.seed} {self.name}"
        self.source = Source(self.place.directory / self.name, seed)
        self.lanes = [Lane(name, random.Random(f"{seed} {name}")) for name in ("backups", "upkeep")]

    @property
    def cache(self) -> Path:
        return self.place.directory / f"{self.name}-cache"

    def start(self, lane: Lane) -> Process:
        """Begin a lane's next command."""
        chance = lane.chance
        if chance.random() < 0.2:
            self.skew_s = chance.choice((0.0, -YEAR_S, YEAR_S, chance.uniform(-YEAR_S, YEAR_S)))
        if chance.random() < 0.08 and all(each.process is None for each in self.lanes):
            shutil.rmtree(self.cache, ignore_errors=True)
            self.caches_lost += 1
        command = self._next_backup(chance) if lane.name == "backups" else self._next(chance)
        lane.command = command
        lane.process = self.launch(
            command, draw_faults(chance, self.place.longest_stop_s, command.kind)
        )
        return lane.process

    def launch(self, command: Command, faults: Faults) -> Process:
        """Start a process of this host."""
        place = self.place
        return Process(
            [*place.base(self.cache), *command.words],
            faults,
            launcher=[
                *("--skew-s", str(self.skew_s), "--patience-s", str(place.patience_s)),
                *("--events", str(place.events)),
            ],
            logs=place.logs,
            stdin=command.stdin,
        )

    def _next_backup(self, chance: random.Random) -> Command:
        source = self.source
        if chance.random() < 0.3:
            source.change_dump()
            saved, path, stdin = source.dump, "/dump.sql", source.dump
            words = ["--stdin", "--stdin-filename", "dump.sql", "--profile", "dump"]
        else:
            source.change_tree()
            saved, path, stdin = source.tree, str(source.tree), None
            words = [path, *(["--force"] if chance.random() < 0.1 else [])]
        backup = self.truth.new_backup(self.name, path, manifest_of(saved))
        words = ["backup", "--host", self.name, "--tag", backup.tag, *words]
        return Command("backup", words, stdin=stdin, backup=backup)

    def _next(self, chance: random.Random) -> Command:
        kept = len(self.truth.known(Fate.KEPT, Fate.UNSURE))
        pressure = 4 if kept > MANY else 1
        choices: Sequence[tuple[float, Callable[[random.Random], Command | None]]] = (
            (12, self._prune),
            (5, self._restore),
            (2 * pressure, self._forget_some),
            (2 * pressure, self._forget_by_policy),
            (3, self._undo),
            (2, self._tag),
            (2, self._check),
            (3, self._list),
            (1, self._look),
        )
        weights = [weight for weight, _ in choices]
        while True:
            ((_, draw),) = chance.choices(choices, weights)
            command = draw(chance)
            if command is not None:
                return command

    def _prune(self, chance: random.Random) -> Command:
        return Command("prune", ["prune", *_prune_options(chance)])

    def _restore(self, chance: random.Random) -> Command | None:
        record = self._draw(chance, Fate.KEPT, Fate.UNSURE)
        return None if record is None else self.restore(record.id, record.backup, record)

    def restore(self, name: str, backup: Backup, record: Record | None = None) -> Command:
        """Return the command that restores what a backup has saved."""
        self._targets += 1
        target = self.place.directory / f"{self.name}-target-{self._targets}"
        words = ["restore", f"{name}:{backup.path}", "--target", str(target)]
        expectation = self.truth.expect()
        return Command("restore", words, None, backup, record, target, expectation=expectation)

    def _look(self, chance: random.Random) -> Command | None:
        record = self._draw(chance, Fate.KEPT, Fate.UNSURE)
        if record is None:
            return None
        words = ["ls", "--recursive", record.id]
        return Command("ls", words, record=record, expectation=self.truth.expect())

    def _forget_some(self, chance: random.Random) -> Command | None:
        known = [r for r in self.truth.known(Fate.KEPT) if not r.busy]
        if len(known) < 3:
            return None
        chosen = chance.sample(known, min(chance.randrange(1, 4), len(known) - 1))
        words = ["forget", *(record.id for record in chosen)]
        if chance.random() < 0.2:
            words += ["--prune", *_prune_options(chance)]
        return Command("forget", words, change=self.truth.begin(chosen))

    def _forget_by_policy(self, chance: random.Random) -> Command:
        hosts = self.place.hosts
        words = ["forget", "--keep-last", str(chance.randrange(1, 5))]
        if chance.random() < 0.8:
            hosts = (chance.choice(hosts),)
            words += ["--host", *hosts]
        if chance.random() < 0.2:
            words += ["--prune", *_prune_options(chance)]
        return Command("forget", words, change=self.truth.begin((), hosts))

    def _undo(self, chance: random.Random) -> Command | None:
        gone = self.truth.known(Fate.GONE)[-8:]
        if not gone:
            return None
        record = chance.choice(gone)
        change = self.truth.begin([record], is_undo=True)
        return Command("undo", ["forget", "--undo", record.id], record=record, change=change)

    def _tag(self, chance: random.Random) -> Command | None:
        record = self._draw(chance, Fate.KEPT)
        if record is None:
            return None
        words = ["tag", "--add", f"more-{chance.randrange(1 << 30)}", record.id]
        return Command("tag", words, record=record, change=self.truth.begin([record], is_tag=True))

    def _check(self, chance: random.Random) -> Command:
        return Command("check", ["check", *(["--read-data"] if chance.random() < 0.5 else [])])

    def _list(self, _chance: random.Random) -> Command:
        return Command("snapshots", ["snapshots"], expectation=self.truth.expect())

    def _draw(self, chance: random.Random, *fates: Fate) -> Record | None:
        known = self.truth.known(*fates)
        return chance.choice(known) if known else None


def _prune_options(chance: random.Random) -> list[str]:
    words = ["--max-unused", "0%"] if chance.random() < 0.6 else []
    if chance.random() < 0.75:
        words += ["--wait", chance.choice(("0s", "0s", "1s"))]
    return words
