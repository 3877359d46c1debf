"""What a command that has ended must have said, and what is learnt from it."""

from __future__ import annotations

import shutil
from collections import Counter
from typing import Final

from torture.host import Command
from torture.process import Ended
from torture.sources import manifest_of
from torture.truth import Truth

_MAY_FAIL: Final = {
    "backup": {"CommitVoidError"},
    "prune": {"PruneBusyError"},
    "forget": {"SnapshotNotFoundError", "PruneBusyError"},
    "undo": {"ForgetFinalError", "NotForgottenError"},
    "tag": {"SnapshotNotFoundError", "CommitVoidError"},
}
"""Errors that a command may end with; of readers those that concern what is not certain."""
_MOST_SHOWN: Final = 6000
_UNREACHABLE: Final = 26


class Judge:
    """Judges commands, and counts.

    Args:
        truth: is told what was acknowledged.
    """

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self.may_be_unreachable = False
        """Whether the storage may be away for longer than commands have patience."""
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def judge(
        self, command: Command, ended: Ended, started_s: float, now_s: float, *, may_kill: bool
    ) -> str:
        """Look at how a command has ended; return a word about it for the history."""
        before = len(self.wrong)
        word = "killed" if ended.killed else ended.error or f"exit {ended.code}"
        if ended.killed and not may_kill:
            self._blame(command, ended, "it was killed by somebody else")
        elif "Traceback" in ended.err or ended.error == "Defect":
            self._blame(command, ended, "a defect")
        elif ended.code == _UNREACHABLE and self.may_be_unreachable:
            pass  # like a kill: nobody knows how far it came
        elif not ended.killed and ended.code not in (0, 1, 3, 13):
            self._blame(command, ended, "an exit code that is not expected")
        elif ended.code == 1 and not self._may_fail(command, ended):
            self._blame(command, ended, "an error that is not expected")
        judges = {
            "backup": self._backup,
            "restore": self._read,
            "ls": self._read,
            "snapshots": self._snapshots,
        }
        if command.change is not None:
            self._change(command, ended, started_s, now_s)
        elif command.kind in judges:
            judges[command.kind](command, ended, started_s)
        elif ended.code == 13:
            self._blame(command, ended, "damage")
        self.counts[f"{command.kind} {_how(ended)}"] += 1
        return word if len(self.wrong) == before else f"{word}: WRONG"

    def _may_fail(self, command: Command, ended: Ended) -> bool:
        if command.kind in ("restore", "ls"):
            return not self._is_certain(command)
        if ended.error == "SnapshotNotFoundError":
            return command.change is not None and any(r.muddled for r in command.change.records)
        if ended.error == "PruneBusyError" and command.kind == "forget":
            return "--prune" in command.words
        return ended.error in _MAY_FAIL.get(command.kind, ())

    def _is_certain(self, command: Command) -> bool:
        """Tell whether what a command was to read has been certain all the time."""
        expectation, record = command.expectation, command.record
        if expectation is None or record is None:
            return True  # at the end everything is
        return record in expectation.still_certain()

    def _backup(self, command: Command, ended: Ended, started_s: float) -> None:
        snapshot_id = ended.summary.get("snapshot")
        if ended.code in (3, 13):
            self._blame(command, ended, "a finding, though nothing changed in the source")
        elif snapshot_id and command.backup is not None:
            self._truth.acknowledge(snapshot_id, command.backup, started_s)
        elif ended.code == 0:
            self._blame(command, ended, "no snapshot was reported")

    def _read(self, command: Command, ended: Ended, _started_s: float) -> None:
        if ended.code == 13 and self._is_certain(command):
            self._blame(command, ended, "damage in a snapshot that nobody has forgotten")
        if command.target is None or command.backup is None:
            return
        if ended.code in (0, 3):
            found = manifest_of(command.target)
            if found != command.backup.manifest:
                difference = dict(found.items() ^ command.backup.manifest.items())
                self._blame(command, ended, f"not what was saved: {difference}")
            self.counts["compared"] += 1
        shutil.rmtree(command.target, ignore_errors=True)

    def _snapshots(self, command: Command, ended: Ended, started_s: float) -> None:
        if ended.code == 0 and command.expectation is not None:
            listed = listed_tags(ended)
            for wrong in self._truth.compare_listing(listed, command.expectation, started_s):
                self._blame(command, ended, wrong)
        elif ended.code == 13:
            self._blame(command, ended, "damage")

    def _change(self, command: Command, ended: Ended, started_s: float, now_s: float) -> None:
        """Learn what forget, undo or tag has done."""
        change, document = command.change, ended.document
        assert change is not None
        if ended.code == 13:
            self._blame(command, ended, "damage")
        if document is not None and command.kind == "forget":
            self._truth.end(change, now_s, gone=document["forget"])
        elif document is not None and command.kind == "undo":
            self._truth.end(change, now_s, kept=document["undone"])
        elif document is not None:
            self._tagged(command, document["changed"], started_s, now_s)
        else:
            # A clean refusal has changed nothing, except where forgetting came before prune.
            is_clean = ended.code == 1 and "--prune" not in command.words
            is_clean &= "prune is deciding" not in ended.err
            self._truth.end(change, now_s, is_unclear=not is_clean)

    def _tagged(
        self, command: Command, changed: list[dict[str, str]], started_s: float, now_s: float
    ) -> None:
        change, record = command.change, command.record
        assert change is not None
        assert record is not None
        self._truth.end(change, now_s, gone=[each["old"] for each in changed])
        for each in changed:
            self._truth.acknowledge(each["new"], record.backup, started_s)

    def _blame(self, command: Command, ended: Ended, reason: str) -> None:
        words = " ".join(command.words)
        self.wrong.append(
            f"{reason}\n  holdfast {words}\n  exit code {ended.code}\n"
            f"{ended.out[-_MOST_SHOWN:]}\n{ended.err[-_MOST_SHOWN:]}"
        )


def listed_tags(ended: Ended) -> dict[str, str]:
    """Return the snapshots of a listing, each with the tag that leads to its backup."""
    return {
        snapshot["id"]: next(tag for tag in snapshot["tags"] if tag.startswith("backup-"))
        for snapshot in ended.document
    }


def _how(ended: Ended) -> str:
    if ended.killed:
        return "killed"
    return "done" if ended.code in (0, 3) else "failed"
