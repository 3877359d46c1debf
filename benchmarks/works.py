"""The works that are compared, and the order that keeps the comparison fair.

A round takes one data set through every work, each done once by every peer in turn (A B C, A B C …),
so that whatever slows the machine for a while slows all of them. What a work reads (the source, or
the repository) is read once right before the clock starts: some virtual machines give back page
cache that was idle for seconds, however much memory is free. Repositories and caches are new in
each round.

The source is one directory that all peers read. It is brought from one night to the next with
files replaced only where their content differs, so the others keep inode, mtime and ctime, which
is what programs tell unchanged files by. A small file is written last each night: the newest file
of all is one that some programs read again, since it may have changed within the same tick of the
clock, and that shall not be the only large file of a set.

A peer whose backup fails is left out of the rest of the round, one that fails at another work only
of that; both are recorded. A work that others build on is done but not recorded if not selected.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from data_set import DataSet
from measure import Command, CommandError, extent, output_of, run, warm
from peer import Peer, Place, Source
from results import Results

WORKS: Final = ("nights", "unchanged", "restore", "check", "snapshots", "prune", "fresh")
"""What can be selected. "fresh" is the last night alone in a new repository, to judge prune by."""
SHORT_WORK_REPEATS: Final = 3
"""How often a work of less than a second is measured in each round."""
_MOST_TOLD: Final = 300
"""Characters of a program's complaint; the end says most."""
_TICK_S: Final = 0.02
"""Longer than the time between two ticks of the clock that files are stamped with."""

Say = Callable[[str], None]


class Bench:
    """Runs rounds of works on one data set and collects the results."""

    def __init__(
        self, peers: Sequence[Peer], work_dir: Path, restore_dir: Path, say: Say = print
    ) -> None:
        self.results = Results()
        self._peers = list(peers)
        self._work_dir = work_dir
        self._restore_dir = restore_dir
        self._say = say

    def round(self, data_set: DataSet, works: Sequence[str]) -> None:
        """Do the selected works once with every peer.

        Raises:
            CommandError: the source cannot be brought to a night's state (rsync).
        """
        everybody = self._peers
        source = Source(self._work_dir / "source", data_set.profile)
        label = ""
        for number, night in enumerate(data_set.nights, start=1):
            label = f"night-{number}"
            self._bring(source.path, night, label)
            if number == 1:
                self._peers = [peer for peer in self._peers if self._renew(peer)]
            self._backups(label, source, label if "nights" in works else "")
        if "unchanged" in works:
            label = "again"
            self._backups(label, source, "unchanged")
        self._read_back(source, label, works)
        if "prune" in works:
            self._forget_and_prune(source)
        if "fresh" in works:
            self._peers = [peer for peer in self._peers if self._renew(peer)]
            self._backups("fresh", source, "fresh")
        shutil.rmtree(source.path)
        for peer in everybody:
            shutil.rmtree(self._place(peer).root, ignore_errors=True)
        self._peers = everybody

    def _backups(self, label: str, source: Source, work: str) -> None:
        """Back up with every peer, and go on with those that can."""
        able: list[Peer] = []
        for peer in self._peers:
            command = peer.backup(self._place(peer), source, label)
            if self._do(work, label, peer, command, reads=source.path):
                able.append(peer)
        self._peers = able

    def _read_back(self, source: Source, label: str, works: Sequence[str]) -> None:
        if "restore" in works:
            for peer in self._peers:
                self._restore(peer, source, label)
        if "check" in works:
            for peer in self._peers:
                place = self._place(peer)
                self._do("check", "check", peer, peer.check(place), reads=place.repository)
        if "snapshots" in works:
            for peer in self._peers * SHORT_WORK_REPEATS:
                place = self._place(peer)
                command = peer.snapshots(place)
                self._do("snapshots", "snapshots", peer, command, reads=place.repository)

    def _restore(self, peer: Peer, source: Source, label: str) -> None:
        place = self._place(peer)
        with tempfile.TemporaryDirectory(prefix="restored-", dir=self._restore_dir) as made:
            target = Path(made)
            command = peer.restore(place, source, label, target)
            if not self._do("restore", "restore", peer, command, reads=place.repository):
                return
            given, returned = extent(source.path), extent(target)
        if given != returned:
            self._fail(
                "restore",
                peer,
                f"it restored {returned[0]} files of {returned[1]} bytes "
                f"instead of {given[0]} of {given[1]}",
            )

    def _forget_and_prune(self, source: Source) -> None:
        for peer in self._peers:
            place = self._place(peer)
            try:
                for command in peer.forget(place, source):
                    run(command)
            except CommandError as error:
                self._fail("prune", peer, self._told(error))
                continue
            self._do("prune", "prune", peer, peer.prune(place), reads=place.repository)

    def _do(self, work: str, step: str, peer: Peer, command: Command, *, reads: Path) -> bool:
        """Run a command; record it under the work unless that is empty. Return whether it ended well."""
        warm(reads)
        try:
            sample = run(command)
        except CommandError as error:
            self._fail(work or step, peer, self._told(error))
            return False
        if work:
            size = extent(self._place(peer).repository)[1]
            self.results.add(work, peer.name, sample, size)
            self._say(f"{work:10} {peer.name:9} {sample.wall_s:7.2f} s {size / 1e6:8.1f} MB")
        return True

    def _fail(self, work: str, peer: Peer, problem: str) -> None:
        self.results.fail(work, peer.name, problem)
        self._say(f"{work:10} {peer.name:9} failed: {problem}")

    def _told(self, error: CommandError) -> str:
        """Return what a program complained of, without this machine's paths."""
        command, *rest = str(error).splitlines()
        text = " ".join(" ".join(rest or [command]).split())
        return text.replace(str(self._work_dir), "…")[-_MOST_TOLD:]

    def _bring(self, source: Path, night: Path, label: str) -> None:
        """Bring the source to a night's state."""
        # Later on without --times: a file whose content is the same is not touched at all.
        options = ["-rlpgoDS", "--checksum", "--delete"] if source.exists() else ["-aS"]
        self._say(f"source: {night}")
        output_of(Command(arguments=("rsync", *options, f"{night}/", f"{source}/")))
        time.sleep(_TICK_S)
        (source / ".night").write_text(f"{label}\n", encoding="ascii")
        # Else the first program's fsyncs would wait for what was just copied.
        os.sync()

    def _place(self, peer: Peer) -> Place:
        return Place(self._work_dir / peer.name)

    def _renew(self, peer: Peer) -> bool:
        """Make an empty repository; return whether it could be made."""
        place = self._place(peer)
        shutil.rmtree(place.root, ignore_errors=True)
        place.root.mkdir(parents=True)
        try:
            for command in peer.init(place):
                run(command)
        except CommandError as error:
            self._fail("init", peer, self._told(error))
            return False
        return True
