"""The run itself: hosts at work, signals in between, and the account at the end."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from holdfast.backends.registry import open_backend
from support.ceph import Gateway
from torture.host import Command, Host, Lane, Place
from torture.judge import Judge, listed_tags
from torture.process import Ended, Faults, Process
from torture.truth import Fate, Truth

_TICK_S: Final = 0.01
_LATER_S: Final = 3 * 24 * 3600
"""How much later the last prune runs: the leases of killed sessions have ended by then."""
_AWAY_S: Final = (0.1, 1.0)
"""How long a killed gateway stays away; commands have patience for half a minute."""
_THERE_S: Final = (0.5, 6.0)
_RESTORES: Final = 3
"""At once, at the end."""


class Torment:
    """Hosts that work on one repository while their processes are stopped and killed.

    Args:
        place: with an empty directory.
        awake: how many processes may run at once, not counting stopped ones.
        gateway: of the storage; killed and started again all the time, if there is one.
    """

    def __init__(self, place: Place, awake: int, gateway: Gateway | None = None) -> None:
        self._place = place
        self._awake = awake
        self._gateway = gateway
        self._next_turn_s = 0.0
        """When the gateway is killed, or started, next."""
        self._gateway_kills = 0
        self._truth = Truth()
        self._judge = Judge(self._truth)
        self._chance = random.Random(place.seed)
        self._hosts = [Host(name, place, self._truth) for name in place.hosts]
        self._began_s = time.monotonic()
        self._stops = 0
        place.logs.mkdir()
        self._history = (place.directory / "history").open("w", buffering=1, encoding="utf-8")

    @property
    def wrong(self) -> list[str]:
        """What went wrong; each with the command and its output."""
        return self._judge.wrong

    def run(self, seconds: float) -> None:
        """Do all of it; stops at the first thing that is wrong."""
        try:
            words = ["init", "--pack-size", "1M", "--slice-size", "64K"]
            self._finish("first", [Command("init", words)])
            end_s = time.monotonic() + seconds
            self._judge.may_be_unreachable = self._gateway is not None
            while time.monotonic() < end_s and not self.wrong:
                self._begin_commands()
                self._poll()
                self._torment_gateway()
                time.sleep(_TICK_S)
            if self._gateway is not None and not self._gateway.is_running:
                self._gateway.start()
            self._drain()
            self._judge.may_be_unreachable = False
            if not self.wrong:
                self._settle_accounts()
        finally:
            for _, lane in self._busy():
                if lane.process is not None:
                    lane.process.kill()
            self._history.close()

    def summary(self) -> list[tuple[str, str]]:
        """Return what was done, as lines of a table."""
        counts = self._judge.counts
        log = Counter(line.split()[0] for line in _lines(self._place.events))
        fates = Counter(record.fate for record in self._truth.records.values())

        def told(kind: str) -> str:
            ways = ((counts[f"{kind} {how}"], how) for how in ("done", "killed", "failed"))
            return ", ".join(f"{number} {how}" for number, how in ways if number) or "none"

        kinds = ("backup", "prune", "forget", "undo", "tag", "restore", "ls", "check", "snapshots")
        cycles = (
            f"{log['condemn']} cycles, {log['seal']} sealed by prune, {log['emptied']} emptied by "
            f"writers, {log['beaten']} times somebody was faster"
        )
        return [
            ("seconds", f"{time.monotonic() - self._began_s:.0f}"),
            ("seed", str(self._place.seed)),
            *((kind, told(kind)) for kind in kinds),
            ("acknowledged", f"{len(self._truth.records)} snapshots, {fates[Fate.KEPT]} kept"),
            ("stopped", f"{self._stops} times"),
            *([("gateway", f"killed {self._gateway_kills} times")] if self._gateway else []),
            ("caches lost", str(sum(host.caches_lost for host in self._hosts))),
            ("compared", f"{counts['compared']} restores"),
            ("log of prune", cycles),
            ("void", f"{log['void']} commits"),
        ]

    def _busy(self) -> Iterator[tuple[Host, Lane]]:
        for host in self._hosts:
            for lane in host.lanes:
                if lane.process is not None:
                    yield host, lane

    def _begin_commands(self) -> None:
        awake = sum(not lane.process.is_stopped for _, lane in self._busy() if lane.process)
        idle = [(host, lane) for host in self._hosts for lane in host.lanes if not lane.process]
        self._chance.shuffle(idle)
        for host, lane in idle[: max(0, self._awake - awake)]:
            process = host.start(lane)
            words = " ".join(process.words[7:])
            self._note(host, process, f"{words} | skew {host.skew_s:.0f} s, {process.faults}")

    def _torment_gateway(self) -> None:
        """Kill the gateway, or start it again, when its time has come."""
        gateway, chance = self._gateway, self._chance
        if gateway is None or time.monotonic() < self._next_turn_s:
            return
        if self._next_turn_s and gateway.is_running:
            gateway.kill()
            self._gateway_kills += 1
            wait_s = chance.uniform(*_AWAY_S)
        else:
            if not gateway.is_running:
                gateway.start()
            wait_s = chance.uniform(*_THERE_S)
        self._next_turn_s = time.monotonic() + wait_s

    def _poll(self) -> None:
        for host, lane in list(self._busy()):
            process = lane.process
            if process is not None and (ended := process.poll()) is not None:
                self._end(host, lane, process, ended)

    def _end(self, host: Host, lane: Lane, process: Process, ended: Ended) -> None:
        command = lane.command
        assert command is not None
        lane.process = lane.command = None
        self._stops += process.stops
        now_s = time.monotonic()
        word = self._judge.judge(
            command, ended, process.started_s, now_s, may_kill=process.may_kill
        )
        self._note(host, process, f"{word}, stopped {process.stops} times")
        if not self.wrong:
            process.delete_logs()

    def _note(self, host: Host, process: Process, text: str) -> None:
        at_s = time.monotonic() - self._began_s
        self._history.write(f"{at_s:8.2f} {host.name} {process.number} pid {process.pid} {text}\n")

    def _drain(self) -> None:
        """Let all processes end in peace; after a failure only what runs is looked at."""
        for _, lane in self._busy():
            if lane.process is not None:
                lane.process.leave_alone()
        while any(self._busy()) and not self.wrong:
            self._poll()
            time.sleep(_TICK_S)

    def _finish(self, name: str, commands: Sequence[Command], skew_s: float = 0.0) -> list[Ended]:
        """Run commands on a fresh host with a fresh cache, undisturbed; return how they ended."""
        host = Host(name, self._place, self._truth)
        host.skew_s = skew_s
        done: list[Ended] = []
        for command in commands:
            process = host.launch(command, Faults())
            self._note(host, process, " ".join(command.words))
            while (ended := process.poll()) is None:
                time.sleep(_TICK_S)
            self._judge.judge(command, ended, process.started_s, time.monotonic(), may_kill=False)
            done.append(ended)
        return done

    def _settle_accounts(self) -> None:
        """Prune once more; then all that was acknowledged must be there, and nothing else."""
        prune = Command("prune", ["prune", "--wait", "0s", "--max-unused", "0%"])
        self._finish("pruner", [prune], skew_s=_LATER_S)
        check = Command("check", ["check", "--read-data"])
        listing = Command("snapshots", ["snapshots"], expectation=self._truth.expect())
        checked, listed = self._finish("auditor", [check, listing])
        if self.wrong:
            return
        with closing(open_backend(self._place.repository)) as backend:
            packs = list(backend.list("packs/"))
            left = [info.name for info in backend.list("forgets/")]
        found = checked.summary
        if found["unused_packs"] or found["packs"] != len(packs):
            self.wrong.append(f"packs that belong to nobody: {len(packs)} are there, {found}")
        if left:
            self.wrong.append(f"forget marks that the last prune has left: {left}")
        tags = listed_tags(listed)
        if found["snapshots"] != len(tags):
            self.wrong.append(f"{len(tags)} snapshots are listed, {found}")
        self._restore_all(tags)

    def _restore_all(self, tags: dict[str, str]) -> None:
        host = Host("restorer", self._place, self._truth)
        waiting = [host.restore(name, self._truth.backups[tag]) for name, tag in tags.items()]
        running: list[tuple[Command, Process]] = []
        while waiting or running:
            while waiting and len(running) < _RESTORES:
                command = waiting.pop()
                running.append((command, host.launch(command, Faults())))
            for command, process in list(running):
                if (ended := process.poll()) is not None:
                    running.remove((command, process))
                    now_s = time.monotonic()
                    command.expectation = None
                    self._judge.judge(command, ended, process.started_s, now_s, may_kill=False)
            time.sleep(_TICK_S)


def _lines(path: Path) -> list[str]:
    return path.read_text("ascii").splitlines() if path.exists() else []


def remove(directory: Path) -> None:
    """Remove what a run has left."""
    shutil.rmtree(directory, ignore_errors=True)
