"""`doctor`, and one maintainer: what people and programs are told."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from holdfast.backends import registry
from holdfast.repository import settling
from holdfast_cli.commands import forget as forget_command
from holdfast_cli.commands import init as init_command
from holdfast_cli.commands import prune as prune_command
from support.command_line import NOISE, Runner
from support.faults import SimulatedCrash
from support.json_keys import DOCTOR, DOCTOR_PROPERTY, INIT

PROPERTIES = [
    "read-after-write", "create-if-absent", "create-raced", "list-after-write",
    "list-after-delete", "read-after-delete", "ranges", "sizes", "empty-object", "long-name",
    "latency", "throughput",
]  # fmt: skip


@pytest.fixture
def overwriting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories are storage that overwrites."""
    monkeypatch.setitem(registry.FACTORIES, "file", "support.liars:open_overwriting")


def on_host(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for module in (init_command, prune_command, forget_command):
        monkeypatch.setattr(module, "host_name", lambda: name)


# -- doctor -------------------------------------------------------------------------------------


def test_a_table_and_a_sentence(run: Runner, tmp_path: Path) -> None:
    place = tmp_path / "empty"
    lines = run("-r", place, "doctor").out.splitlines()
    assert lines[0].split() == ["Property", "Seen", "Means"]
    assert len({line.rindex("safe") for line in lines[1:11]}) == 1, "not aligned"
    assert lines[-1] == (f"{place} is safe: back up, restore and prune from any host at any time")
    run("-r", place, "--key-file", tmp_path / "key", "init")  # it is still empty


def test_keys_of_the_document(hold: Runner, tmp_path: Path) -> None:
    out = hold("--json", "doctor")
    document = out.document
    assert list(document) == DOCTOR
    assert [one["property"] for one in document["properties"]] == PROPERTIES
    assert {tuple(one) for one in document["properties"]} == {tuple(DOCTOR_PROPERTY)}
    assert (document["repository"], document["verdict"], document["left"]) == (True, "safe", [])
    assert document["measures"]["small_write_s"] > 0
    assert out.err == ""


def test_no_key_is_needed(hold: Runner, run: Runner, tmp_path: Path) -> None:
    assert run("-r", tmp_path / "repository", "doctor").out.endswith("at any time\n")


@pytest.mark.usefixtures("overwriting")
def test_a_lie_has_its_own_exit_code(run: Runner, tmp_path: Path) -> None:
    place = tmp_path / "empty"
    out = run("-r", place, "doctor", code=28).out
    (line,) = [line for line in out.splitlines() if line.startswith("create if absent")]
    assert " replaced " in line
    assert "works with one maintainer" in line
    assert out.splitlines()[-1].startswith(f"{place} is safe with one maintainer: ")
    document = run("-r", place, "--json", "doctor", code=28).document
    assert document["verdict"] == "one-maintainer"


def test_a_place_that_holds_something_else(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("mine")
    assert "is not empty" in run("-r", tmp_path / "used", "doctor", code=1).err
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["file"]


def test_a_place_that_is_not_there(run: Runner, tmp_path: Path) -> None:
    assert "there is no directory" in run("-r", tmp_path / "a" / "b", "doctor", code=2).err


# -- one maintainer -----------------------------------------------------------------------------


@pytest.mark.usefixtures("overwriting")
def test_init_says_who_may_prune(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_host(monkeypatch, "desk")
    keys: list[str | Path] = ["--key-file", tmp_path / "key"]
    lines = run("-r", tmp_path / "one", *keys, "init").out.splitlines()
    assert lines[-1] == (
        "this storage cannot keep two prunes apart: back up from any host at any time, but prune "
        "only from desk"
    )
    made = run("-r", tmp_path / "two", *keys, "--json", "init", "--maintainer", "nas").document
    assert list(made) == INIT
    assert made["maintainer"] == "nas"
    config = run("-r", tmp_path / "two", *keys, "cat", "config").document
    assert (config["exclusive_create"], config["maintainer"]) == (False, "nas")


def test_init_on_honest_storage_says_that_no_maintainer_is_needed(
    run: Runner, tmp_path: Path
) -> None:
    command: list[str | Path] = ["-r", tmp_path / "one", "--key-file", tmp_path / "key", "init"]
    made = run(*command, "--maintainer", "nas")
    assert "--maintainer has no effect" in made.err
    assert "prune only from" not in made.out


@pytest.mark.usefixtures("overwriting")
def test_a_dry_run_probes_nothing(run: Runner, tmp_path: Path) -> None:
    keys: list[str | Path] = ["--key-file", tmp_path / "key"]
    command = ["-r", tmp_path / "one", *keys, "init", "--dry-run"]
    assert "prune only from" not in run(*command).out
    assert not (tmp_path / "one").exists()


@pytest.fixture
def shared(run: Runner, tmp_path: Path, overwriting: None, source: Path) -> Runner:
    """A repository on storage that overwrites, which `desk` maintains, with a dead snapshot."""
    runner = run.with_base("-r", tmp_path / "shared", "--key-file", tmp_path / "key")
    runner("init", "--maintainer", "desk")
    (source / "more").write_bytes(NOISE[::-1])
    time.sleep(0.03)
    first = runner("backup", source, "--json", "-q").events[-1]["snapshot"]
    (source / "more").unlink()
    runner("backup", source)
    runner("forget", first)
    return runner


def test_only_the_maintainer_prunes(shared: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    on_host(monkeypatch, "laptop")
    for command in (["prune"], ["forget", "--keep-last", "9", "--prune"]):
        error = shared(*command, code=29).err
        assert "only desk may prune" in error
        assert "this is laptop" in error
        assert "--as-maintainer" in error
    event = json.loads(shared("--json", "prune", code=29).err.splitlines()[-1])
    assert (event["maintainer"], event["host"]) == ("desk", "laptop")
    on_host(monkeypatch, "desk")
    event = shared("--json", "-q", "prune").events[-1]
    assert event["outcome"] == "done"


def test_another_host_may_take_its_place(shared: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    on_host(monkeypatch, "laptop")
    assert shared("prune", "--as-maintainer").out.startswith("removed ")
    shared("check", "--read-data")


def test_storage_that_lies_now_is_refused(
    hold: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.FACTORIES, "file", "support.liars:open_overwriting")
    error = hold("prune", code=28).err
    assert "prune is refused" in error
    assert "`holdfast doctor`" in error
    assert not (tmp_path / "repository" / "gc").exists()


def test_a_prune_that_stands_still_is_told_of(
    shared: Runner, source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nobody but the maintainer may end it; backups go on."""
    monkeypatch.setattr(settling, "PATIENCE_S", 0.05)
    on_host(monkeypatch, "desk")

    class Dying:
        """Dies where the SEAL is to be decided."""

        def __init__(self, *_: object) -> None:
            pass

        def prepare(self) -> None:
            pass

        def seal(self, *_: object) -> None:
            raise SimulatedCrash("power cut")

    with monkeypatch.context() as patch:
        patch.setattr("holdfast.operations.prune_seal._Decision", Dying)
        with pytest.raises(SimulatedCrash):
            shared("prune")
    on_host(monkeypatch, "laptop")
    (source / "new").write_bytes(b"new")
    for command in (["backup", source], ["forget", "--keep-last", "9"]):
        made = shared(*command)
        assert "only desk can end it: run `holdfast prune` there" in made.err
    assert len(list((tmp_path / "shared" / "gc").iterdir())) == 2
    on_host(monkeypatch, "desk")
    shared("prune")
    made = shared("backup", source)
    assert made.err == ""
    shared("check", "--read-data")
