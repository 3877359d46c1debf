"""The works that are compared, and the order that keeps the comparison fair.

One round does every work once with every peer in turn (A B C, A B C …), so that whatever slows the
machine for a while slows all of them. What a work reads (the source, or the repository) is read
once right before the clock starts: some virtual machines give back page cache that was idle for
seconds, however much memory is free. Repositories and caches are new in each round.

The source is one directory that all peers read. It is brought from one version to the next with
files replaced only where their content differs, so the others keep inode, mtime and ctime, which
is what programs tell unchanged files by; that happens once per round, after everybody backed up
the first version and before anybody sees the second.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from measure import Command, CommandError, extent, output_of, run, warm
from peers import Peer, Place
from report import Results

TREE_WORKS: Final = ("first", "unchanged", "next", "restore", "check", "snapshots")
WORKS: Final = (*TREE_WORKS, "dump", "prune")
"""What can be selected; a work that others build on is done but not recorded if left out."""
SHORT_WORK_REPEATS: Final = 3
"""How often a work of less than a second is measured in each round."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What is backed up: two versions of a tree and of a dump, and several of another tree."""

    trees: tuple[Path, Path]
    dumps: tuple[Path, Path]
    series: tuple[Path, ...]


class Bench:
    """Runs rounds of works and collects the results."""

    def __init__(
        self, peers: Sequence[Peer], work_dir: Path, restore_dir: Path, say: Say = print
    ) -> None:
        self.results = Results()
        self._peers = tuple(peers)
        self._work_dir = work_dir
        self._restore_dir = restore_dir
        self._say = say

    def tree_round(self, material: Material, works: Sequence[str]) -> None:
        """Do the selected works of a directory tree once with every peer.

        Raises:
            CommandError: a program failed, or restored something else than it was given.
        """
        source = self._work_dir / "source"
        self._switch(source, material.trees[0])
        label = "a1"
        for peer in self._peers:
            self._renew(peer)
            self._backup("first", peer, source, label, works)
        if "unchanged" in works:
            label = "a2"
            for peer in self._peers:
                self._backup("unchanged", peer, source, label, works)
        if "next" in works:
            self._switch(source, material.trees[1])
            label = "b1"
            for peer in self._peers:
                self._backup("next", peer, source, label, works)
        self._read_back(source, label, works)
        self._clean()

    def dump_round(self, material: Material) -> None:
        """Back up both versions of a dump, under the same path, once with every peer.

        Raises:
            CommandError: a program failed.
        """
        directory = self._work_dir / "dump"
        directory.mkdir(exist_ok=True)
        dump = directory / "database.sql"
        for work, version in zip(("dump", "dump-next"), material.dumps, strict=True):
            shutil.copyfile(version, dump)
            for peer in self._peers:
                if work == "dump":
                    self._renew(peer)
                command = peer.backup_dump(self._place(peer), dump, work)
                self._do(work, peer, command, (work,), reads=directory)
        self._clean()

    def series_round(self, material: Material) -> None:
        """Back up every version of a tree, forget all but the last, and prune; with every peer.

        The size of a repository that never had but the last version is recorded as "fresh".

        Raises:
            CommandError: a program failed.
        """
        source = self._work_dir / "source"
        for number, version in enumerate(material.series):
            self._switch(source, version)
            for peer in self._peers:
                if number == 0:
                    self._renew(peer)
                self._backup("series", peer, source, f"s{number}", ())
        for peer in self._peers:
            run(peer.forget(self._place(peer)))
        os.sync()
        for peer in self._peers:
            place = self._place(peer)
            self._do("prune", peer, peer.prune(place), ("prune",), reads=place.repository)
        for peer in self._peers:
            run(peer.check(self._place(peer)))
            self._renew(peer)
            self._backup("fresh", peer, source, "fresh", ("fresh",))
        self._clean()

    def _read_back(self, source: Path, label: str, works: Sequence[str]) -> None:
        if "restore" in works:
            for peer in self._peers:
                self._restore(peer, source, label, works)
        if "check" in works:
            for peer in self._peers:
                place = self._place(peer)
                self._do("check", peer, peer.check(place), works, reads=place.repository)
        if "snapshots" in works:
            for peer in self._peers * SHORT_WORK_REPEATS:
                place = self._place(peer)
                self._do("snapshots", peer, peer.snapshots(place), works, reads=place.repository)

    def _restore(self, peer: Peer, source: Path, label: str, works: Sequence[str]) -> None:
        place = self._place(peer)
        with tempfile.TemporaryDirectory(prefix="restored-", dir=self._restore_dir) as made:
            target = Path(made)
            command = peer.restore(place, label, target)
            self._do("restore", peer, command, works, reads=place.repository)
            given, returned = extent(source), extent(target)
        if given != returned:
            raise CommandError(
                f"{peer.name} restored {returned[0]} files of {returned[1]} bytes "
                f"instead of {given[0]} of {given[1]}"
            )

    def _backup(
        self, work: str, peer: Peer, source: Path, label: str, works: Sequence[str]
    ) -> None:
        command = peer.backup(self._place(peer), source, label)
        self._do(work, peer, command, works, reads=source)

    def _do(
        self, work: str, peer: Peer, command: Command, works: Sequence[str], *, reads: Path
    ) -> None:
        warm(reads)
        sample = run(command)
        if work in works:
            size = extent(self._place(peer).repository)[1]
            self.results.add(work, peer.name, sample, size)
            self._say(f"{work:10} {peer.name:9} {sample.wall_s:7.2f} s {size / 1e6:8.1f} MB")

    def _switch(self, source: Path, version: Path) -> None:
        # Later on without --times: a file whose content is the same is not touched at all.
        options = ["-rlpgoD", "--checksum", "--delete"] if source.exists() else ["-a"]
        self._say(f"source: {version}")
        output_of(Command(arguments=("rsync", *options, f"{version}/", f"{source}/")))
        # Else the first program's fsyncs would wait for what was just copied.
        os.sync()

    def _place(self, peer: Peer) -> Place:
        return Place(self._work_dir / peer.name)

    def _renew(self, peer: Peer) -> None:
        place = self._place(peer)
        shutil.rmtree(place.root, ignore_errors=True)
        place.root.mkdir(parents=True)
        run(peer.init(place))

    def _clean(self) -> None:
        for peer in self._peers:
            shutil.rmtree(self._place(peer).root)
