"""Journals of dead runs: whole frames are taken over, torn ones and living runs are not."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from holdfast.format.index import PackEntry
from holdfast.format.pack import PACK_END_LENGTH, PACK_HEADER_LENGTH
from holdfast.repository.journal import DeadRun, Journal, adopt_journals, dead_sessions


def entry_of(number: int) -> PackEntry:
    header = bytearray(PACK_HEADER_LENGTH)
    header[24:40] = number.to_bytes(16, "big")
    header[40] = 1
    header[48:52] = (1 << 16).to_bytes(4, "little")
    size = PACK_HEADER_LENGTH + 50 + PACK_END_LENGTH
    return PackEntry(bytes(header), size, array("I", [50]), array("I", [9]), bytes(32))


VIEW = 7
ENTRIES = [entry_of(number) for number in range(3)]


def leave_journal(directory: Path, name: str = "dead", count: int = 3) -> Path:
    journal = Journal(str(directory), name, VIEW)
    for entry in ENTRIES[:count]:
        journal.append(entry)
    journal.close(committed=False)
    return directory / f"{name}.journal"


def adopt(directory: Path) -> list[PackEntry]:
    with adopt_journals(str(directory)) as runs:
        return entries_of(runs)


def entries_of(runs: list[DeadRun]) -> list[PackEntry]:
    assert all(run.view in (VIEW, -1) for run in runs)
    return [entry for run in runs for entry in run.entries]


def test_a_dead_runs_packs_are_taken_over_once(tmp_path: Path) -> None:
    leave_journal(tmp_path)
    assert adopt(tmp_path) == ENTRIES
    assert adopt(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_committed_run_leaves_nothing(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), "done", -1)
    journal.append(ENTRIES[0])
    journal.close(committed=True)
    journal.close(committed=True)
    assert list(tmp_path.iterdir()) == []


def test_a_living_run_is_left_alone(tmp_path: Path) -> None:
    leave_journal(tmp_path, "dead", 1)
    living = Journal(str(tmp_path), "living", -1)
    living.append(ENTRIES[2])
    assert adopt(tmp_path) == ENTRIES[:1]
    assert (tmp_path / "living.journal").exists()
    living.close(committed=False)
    assert adopt(tmp_path) == ENTRIES[2:]


def test_two_that_start_at_once_do_not_take_over_the_same(tmp_path: Path) -> None:
    leave_journal(tmp_path)
    with adopt_journals(str(tmp_path)) as first:
        assert entries_of(first) == ENTRIES
        assert adopt(tmp_path) == []


def test_journals_stay_if_taking_over_fails(tmp_path: Path) -> None:
    leave_journal(tmp_path)

    def fail() -> None:
        with adopt_journals(str(tmp_path)):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert adopt(tmp_path) == ENTRIES


def test_torn_end_is_dropped_at_every_length(tmp_path: Path) -> None:
    path = leave_journal(tmp_path)
    whole = path.read_bytes()
    frame = (len(whole) - 8) // 3
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert adopt(tmp_path) == ENTRIES[: max(0, length - 8) // frame]


def test_nothing_behind_damage_is_believed(tmp_path: Path) -> None:
    path = leave_journal(tmp_path)
    whole = path.read_bytes()
    frame = (len(whole) - 8) // 3
    for at in range(0, frame, 5):
        damaged = bytearray(whole)
        damaged[8 + frame + at] ^= 1
        path.write_bytes(damaged)
        assert adopt(tmp_path) == ENTRIES[:1]


def test_other_files_and_no_directory(tmp_path: Path) -> None:
    (tmp_path / "readme").write_text("x")
    (tmp_path / "noise.journal").write_bytes(b"\xff" * 100)
    assert adopt(tmp_path) == []
    assert (tmp_path / "readme").exists()
    assert adopt(tmp_path / "none") == []


def test_sessions_whose_process_died_are_known(tmp_path: Path) -> None:
    leave_journal(tmp_path)
    living = Journal(str(tmp_path), "living", VIEW)
    assert dead_sessions(str(tmp_path)) == {"dead"}
    living.close(committed=False)
    assert dead_sessions(str(tmp_path)) == {"dead", "living"}
    assert dead_sessions(str(tmp_path / "none")) == set()
    assert adopt(tmp_path) == ENTRIES, "looking takes nothing over"
