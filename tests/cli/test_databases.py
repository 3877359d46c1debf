"""backup-db, restore-db and verify-db: what people and programs see, on a fake kind of database."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast import database_errors
from holdfast.operations.verify_database import is_true
from holdfast_cli.database_options import make_options, tool_environment
from holdfast_cli.exit_codes import exit_code_of
from support import fake_database, json_keys
from support.command_line import Runner, environment_for_processes
from support.fake_database import SEGMENT, save, snapshots, write_server


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_database.install(monkeypatch)


@pytest.fixture
def server(tmp_path: Path) -> Path:
    return write_server(tmp_path / "server", crm=["anna", "ben"], shop=2000)


def test_a_round_for_people(hold: Runner, server: Path, tmp_path: Path) -> None:
    first = hold("backup-db", "fake", "--db-host", server, "--tag", "nightly,web")
    lines = first.out.splitlines()
    assert lines[0].split() == ["Stream", "Files", "Before", "Size", "New", "Stored", "Saved"]
    assert [line.split("  ")[0] for line in lines[1:5]] == [
        "crm data",
        "shop data",
        "globals",
        "all",
    ]
    assert re.fullmatch(
        r"snapshot [0-9a-f]{12} of fake main \(7\.1, logical\) saved in .+", lines[5]
    )
    write_server(server, shop=2001)
    lines = hold("backup-db", "fake", "--db-host", server).out.splitlines()
    assert "parent" in lines[5]
    crm, shop = lines[1].split(), lines[2].split()
    assert crm[2:] == ["1", "9", "B", "9", "B", "0", "B", "0", "B", "100.0%"], "nothing is new"
    assert 50 < float(shop[-1].rstrip("%")) < 100, "one row is new"

    listed = hold("snapshots").out.splitlines()
    assert listed[1].endswith("/fake/main/logical")
    assert "nightly, web" in listed[1]
    assert hold("ls", "latest").out == "/fake/\n"
    assert hold("ls", "-R", "latest:/fake/main/logical").out.split() == [
        "/fake/main/logical/crm/", "/fake/main/logical/crm/data.txt", "/fake/main/logical/globals/",
        "/fake/main/logical/shop/", "/fake/main/logical/shop/data.txt",
    ]  # fmt: skip

    target = tmp_path / "restored"
    dry = hold("restore-db", "latest", "--target", target, "--dry-run").out.splitlines()
    assert dry[0].startswith("dry run: snapshot ")
    assert dry[1:] == [f"  make {target}/crm", f"  make {target}/shop"]
    done = hold("restore-db", "latest", "--target", target, "--rename", "crm=crm2").out.splitlines()
    assert done[0].startswith("restored snapshot ")
    assert done[1:] == ["what is left to do:", f"  start the server in {target}"]
    assert (target / "shop").read_bytes() == (server / "shop").read_bytes()
    assert (target / "crm2").read_bytes() == (server / "crm").read_bytes()

    verified = hold(
        "verify-db", "latest", "--assert", "shop: lines", "--assert", "crm: has anna"
    ).out
    assert re.search(
        r"restored in .+: 2 databases, 0 problems, 2 of 2 assertions held\n$", verified
    )


def test_a_round_for_programs(hold: Runner, server: Path, tmp_path: Path) -> None:
    plan = hold("backup-db", "fake", "--db-host", server, "--dry-run", "--json").events
    assert [list(event) for event in plan] == [json_keys.BACKUP_DB_PLAN]
    assert plan[0]["plan"] == ["database crm", "database shop"]
    assert snapshots(hold) == []

    first = save(hold, server, "--instance", "web1", "--set", "identity=77")
    assert list(first) == json_keys.BACKUP_DB_SUMMARY
    assert first["properties"] == {"log_start": SEGMENT, "log_kind": "wal", "log_identity": "77"}
    second = save(hold, server, "--instance", "web1")
    assert second["parent"] == first["snapshot"]
    for now, before in zip(second["streams"], first["streams"], strict=True):
        assert list(now) == [*json_keys.STREAM, "previous_bytes"]
        assert now["previous_bytes"] == before["logical_bytes"] == now["logical_bytes"]
        assert now["new_bytes"] == 0
        assert now["saved_share"] == (1 if now["logical_bytes"] else None)
        assert before["previous_bytes"] is None
    assert [one["label"] for one in first["streams"]] == ["crm data", "shop data", "globals"]
    sizes = [(server / name).stat().st_size for name in ("crm", "shop")]
    assert [one["logical_bytes"] for one in first["streams"]] == [*sizes, 0]

    kept = snapshots(hold)
    assert [list(one) for one in kept] == [json_keys.SNAPSHOT] * 2
    database = kept[0]["database"]
    assert list(database) == json_keys.DATABASE
    assert [list(one) for one in database["streams"]] == [json_keys.STREAM] * 3
    assert (database["kind"], database["method"], database["instance"]) == (
        "fake",
        "logical",
        "web1",
    )
    assert kept[0]["paths"] == ["/fake/web1/logical"]

    target = str(tmp_path / "restored")
    words = ("restore-db", first["snapshot"], "shop", "--target", target, "--json")
    dry = hold(*words, "--dry-run").events[-1]
    assert list(dry) == json_keys.RESTORE_DB_SUMMARY
    assert (dry["plan"], dry["steps"], dry["dry_run"]) == ([f"make {target}/shop"], [], True)
    assert not (tmp_path / "restored" / "shop").exists()
    done = hold(*words).events[-1]
    assert (done["databases"], done["bytes_restored"]) == (["shop"], sizes[1])
    assert (done["plan"], done["steps"]) == ([], [f"start the server in {target}"])

    result = hold("verify-db", "latest", "--json", "--assert", "crm: has ben").events[-1]
    assert list(result) == json_keys.VERIFY_DB_SUMMARY
    assert result["assertions"] == [
        {"database": "crm", "statement": "has ben", "answer": "t", "holds": True}
    ]
    assert list(result["assertions"][0]) == json_keys.ASSERTION
    assert (result["ok"], result["databases"]) == (True, ["crm", "shop"])


@pytest.mark.parametrize(
    ("settings", "code", "error", "said"),
    [
        (["fail=3"], 35, "ToolFailedError", "exit code 3): table \"orders\" was dropped; "),
        (["signal=KILL"], 35, "ToolFailedError", "killed by SIGKILL"),
        (["signal=TERM"], 35, "ToolFailedError", "killed by SIGTERM"),
        (["down=1"], 33, "ServerUnreachableError", "correct --db-host and --db-port"),
        (["colour=red"], 2, "ConfigurationError", "'colour'"),
        (["colour"], 2, "ConfigurationError", "write it as NAME=VALUE"),
        (["fail=1", "fail=2"], 2, "ConfigurationError", "--set fail is given twice"),
    ],
)  # fmt: skip
def test_what_fails_leaves_no_snapshot(
    settings: list[str], code: int, error: str, said: str, hold: Runner, server: Path
) -> None:
    words = [word for setting in settings for word in ("--set", setting)]
    outcome = hold("backup-db", "fake", "--db-host", server, *words, "--json", code=code)
    event = json.loads(outcome.err.splitlines()[-1])
    assert event["error"] == error
    assert said in event["message"]
    text = hold("backup-db", "fake", "--db-host", server, *words, "-q", code=code)
    assert text.err == f"holdfast: {event['message']}\n"
    assert snapshots(hold) == []
    assert save(hold, server)["snapshot"] is not None, "the next one works"


def test_bad_words(hold: Runner, server: Path, tmp_path: Path) -> None:
    """Each is one sentence, and nothing is saved, restored or started."""
    save(hold, server)
    hold("backup", server)
    at = ("--db-host", str(server))
    for words, code, said in [
        (("backup-db", "oracle"), 2, "'oracle' is no kind of database; choose one of postgresql"),
        (("backup-db", "fake", "../x", "--instance", "a/b", *at), 2, "cannot name an instance"),
        (("backup-db", "fake", "--instance", ""), 2, "cannot name an instance"),
        (("backup-db", "fake", "shop", "shop", *at), 2, "a database is named twice"),
        (("backup-db", "fake", "", *at), 2, "the name of a database is empty"),
        (("backup-db", "fake", "blog", *at), 33, "there is no database blog on the server"),
        (("backup-db", "fake", "--db-port", "70000", *at), 2, "70000 is not in the range"),
        (("backup-db", "fake", "--tools", str(tmp_path), *at), 32, "the program sh was not found"),
        (("restore-db", "latest", "--kind", "redis"), 1, "no snapshot of a database that matches kind redis"),
        (("restore-db", "latest", "--instance", "x"), 1, "no snapshot of a database that matches instance x"),
        (("restore-db", "ffff"), 1, "no snapshot is named ffff"),
        (("restore-db", "latest", *at), 36, "crm is not empty"),
        (("restore-db", "latest", "blog", *at), 33, "there is no database blog in the snapshot"),
        (("restore-db", "latest", "crm", "--rename", "shop=x", *at), 2, "database that is not restored"),
        (("restore-db", "latest", "--rename", "shop=x", "--rename", "crm=x", *at), 2, "the same name"),
        (("restore-db", "latest", "--rename", "shop=", *at), 2, "has no new name"),
        (("restore-db", "latest", "--target-time", "2026-01-01", "--to-end"), 2, "exclude each other"),
        (("restore-db", "latest", "--to-end"), 1, "matches method physical"),
        (("restore-db", "latest", "--to-end", "--method", "logical", *at), 2, "no log leads from snapshot"),
        (("verify-db", "latest", "--assert", "lines"), 2, "'lines' is no assertion; write it like"),
        (("verify-db", "latest", "--assertions", str(tmp_path / "no")), 2, "cannot read the file of"),
        (("verify-db", "latest", "--scratch", str(tmp_path / "no")), 2, "name another one with --scratch"),
    ]:  # fmt: skip
        assert said in hold(*words, code=code).err, words
    files = next(one["id"] for one in snapshots(hold) if one["database"] is None)
    for verb in ("restore-db", "verify-db"):
        assert "is none of a database" in hold(verb, files, code=2).err
    assert len(snapshots(hold)) == 2
    assert sorted(path.name for path in server.iterdir()) == ["crm", "shop"]


def test_latest_means_one_server(hold: Runner, server: Path, tmp_path: Path) -> None:
    """A restore over a server must not depend on which backup ran last."""
    at = ("--db-host", server)
    save(hold, server)
    save(hold, server, "--method", "physical")
    one = save(hold, server, "--instance", "web1")
    write_server(server, shop=1)
    save(hold, server, "--instance", "web1", "--host", "elsewhere")
    hold("backup", server)
    refused = hold("restore-db", "latest", *at, "--overwrite", code=2).err
    assert "fake main on" in refused
    assert "fake web1 on elsewhere, logical" in refused
    assert "by --kind, --instance, --method or --host" in refused
    assert "may mean several" in hold("verify-db", "latest", code=2).err
    here = os.uname().nodename
    words = ("--instance", "web1", "--host", here, *at)
    hold("restore-db", "latest", "shop", *words, "--overwrite")
    assert len((server / "shop").read_text().splitlines()) == 2000
    hold("restore-db", one["snapshot"][:8], *at, "--overwrite")
    assert hold("verify-db", "latest", "--method", "physical", "--json").events[-1]["ok"]


def test_latest_has_the_databases_that_are_named(
    hold: Runner, server: Path, tmp_path: Path
) -> None:
    save(hold, server, "shop")
    only_crm = save(hold, server, "crm")
    to = ("--target", tmp_path / "new", "-n", "--json")
    assert hold("restore-db", "latest", *to).events[-1]["snapshot"] == only_crm["snapshot"]
    assert hold("restore-db", "latest", "shop", *to).events[-1]["snapshot"] != only_crm["snapshot"]
    assert (
        "no database blog in the snapshot" in hold("restore-db", "latest", "blog", *to, code=33).err
    )
    both = save(hold, server)["snapshot"]
    for names in (["shop"], ["crm"], ["shop", "crm"], []):
        assert hold("restore-db", "latest", *names, *to).events[-1]["snapshot"] == both


def test_findings_are_kept_and_seen(hold: Runner, server: Path) -> None:
    outcome = hold("backup-db", "fake", "--db-host", server, "--set", "warn=no grants", code=3)
    assert "shop: no grants" in outcome.err
    assert "1 problem" in outcome.err
    assert save(hold, server, "--set", "warn=x\x1b[31m", code=3)["findings"] == 1


def test_a_restore_that_ends_in_the_middle_says_how_to_go_on(
    hold: Runner, server: Path, tmp_path: Path
) -> None:
    write_server(server, shop=["fine", "unloadable"])
    save(hold, server)
    outcome = hold("restore-db", "latest", "--target", tmp_path / "new", "-q", code=35)
    assert outcome.err.splitlines() == [
        "holdfast: the restore is not complete; the same command with --overwrite begins anew",
        "holdfast: load failed (exit code 3): unloadable line; correct that and run the command again",
    ]
    assert (tmp_path / "new" / "crm").exists()


def test_assertions_that_fail_are_shown_with_their_answers(
    hold: Runner, server: Path, tmp_path: Path
) -> None:
    write_server(server, crm=["anna", "corrupt"])
    save(hold, server)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (tmp_path / "asked.txt").write_text(
        "# the shop\n\nshop: lines\ncrm: has ben\n crm: has anna \n"
    )
    words = (
        "verify-db", "latest", "--scratch", scratch, "--assertions", tmp_path / "asked.txt",
        "--assert", "shop: select 1", "--assert", "blog: lines",
    )  # fmt: skip
    outcome = hold(*words, code=37)
    lines = outcome.out.splitlines()
    assert lines[0] == "problem: crm: a line is corrupt"
    assert lines[1:7] == [
        "failed: shop: select 1",
        (
            "        answered \"ask failed (exit code 1): syntax error at 'select'; "
            'correct that and run the command again"'
        ),
        "failed: blog: lines",
        "        answered 'there is no database blog in the scratch server; check the name'",
        "failed: crm: has ben",
        "        answered 'f'",
    ]
    assert lines[7].endswith("2 databases, 1 problem, 2 of 5 assertions held")
    assert "the backup did not pass" in outcome.err
    event = hold(*words, "--json", code=37).events[-1]
    assert event["ok"] is False
    assert [one["holds"] for one in event["assertions"]] == [False, False, True, False, True]
    assert list(scratch.iterdir()) == [], "the server's directory is gone"
    (tmp_path / "asked.txt").write_text("shop: lines\nshop lines\n")
    assert "line 2 of" in hold(*words, code=2).err


def test_a_backup_that_cannot_be_restored_is_not_verified(
    hold: Runner, server: Path, tmp_path: Path
) -> None:
    write_server(server, shop=["unloadable"])
    save(hold, server)
    assert "unloadable line" in hold("verify-db", "latest", code=35).err


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("t", True), ("TRUE", True), ("yes", True), ("on", True), ("ok\n", True), (" 42 ", True),
        ("-1", True), ("0.5", True), ("", False), ("0", False), ("0.00", False), ("f", False),
        ("false", False), ("no", False), ("nan", False), ("anna", False),
    ],
)  # fmt: skip
def test_what_is_true(answer: str, expected: bool) -> None:
    assert is_true(answer) is expected


def open_when_read(fifo: Path) -> int:
    """Open a named pipe for writing once somebody reads it; fails after half a minute."""
    for _ in range(3000):
        try:
            descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.01)
            continue
        os.set_blocking(descriptor, True)
        return descriptor
    raise AssertionError("nobody reads")


def test_a_killed_backup_leaves_nothing_that_looks_like_one(
    hold: Runner, server: Path, tmp_path: Path
) -> None:
    """The program itself is killed while the tool writes, then interrupted: no snapshot."""
    feeder = tmp_path / "feeder.py"
    feeder.write_text(
        "import sys\nfrom support import fake_database\nfrom holdfast.sources import registry\n"
        "registry.KINDS['fake'] = 'a fake'\nsys.modules['holdfast.sources.fake'] = fake_database\n"
        "from holdfast_cli.main import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    roots = environment_for_processes()["PYTHONPATH"] + os.pathsep + str(Path(__file__).parents[1])
    for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 130)):
        name = f"endless{number}"
        os.mkfifo(server / name)
        process = subprocess.Popen(
            [sys.executable, feeder, *hold.base, "backup-db", "fake", name, "--db-host", server],
            env=environment_for_processes(PYTHONPATH=roots),
            stderr=subprocess.PIPE,
        )  # fmt: skip
        with open(open_when_read(server / name), "wb", buffering=0) as pipe:
            pipe.write(os.urandom(1 << 20))
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
        assert process.returncode == code
        assert b"Traceback" not in err
        (server / name).unlink()
    assert snapshots(hold) == []
    assert save(hold, server)["snapshot"]
    assert hold("check", "--read-data", "--json").events[-1]["ok"]


def test_tools_do_not_see_our_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_PASSWORD", "geheim")
    monkeypatch.setenv("PGPASSWORD", "for the tool")
    environment = tool_environment()
    assert environment["PGPASSWORD"] == "for the tool"
    assert not [name for name in environment if name.startswith("HOLDFAST")]
    assert "for the tool" not in repr(make_options({"settings": ()}))


def test_every_error_about_databases_has_its_exit_code() -> None:
    found = {
        name: int(exit_code_of(value("shop", "reason")))
        for name, value in vars(database_errors).items()
        if isinstance(value, type) and value.__module__ == database_errors.__name__
    }
    assert found == {
        "DatabaseError": 1, "ToolNotFoundError": 32, "ToolVersionError": 32,
        "ServerUnreachableError": 33, "LoginError": 34, "ToolFailedError": 35,
        "DatabaseNotFoundError": 33, "DatabaseNotEmptyError": 36, "DatabaseDamagedError": 37,
        "LogError": 1, "LogConflictError": 38, "LogSegmentNotFoundError": 1,
        "LogSegmentInvalidError": 38, "LogGapError": 39,
    }  # fmt: skip
