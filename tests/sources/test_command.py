"""Commands from a file as sources: streams, restores, questions, and everything that goes wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from holdfast.chunking import Profile
from holdfast.database_errors import (
    DatabaseDamagedError,
    DatabaseNotEmptyError,
    DatabaseNotFoundError,
    ToolFailedError,
    ToolNotFoundError,
)
from holdfast.errors import ConfigurationError, TargetError
from holdfast.sources import command
from holdfast.sources.base import DatabaseOptions, DatabaseTarget, Method, RestoreTo
from support.processes import kill_children
from support.sinks import MemoryFiles, MemorySink

COMMANDS = """
[[stream]]
name = "numbers"
command = ["seq", "1", "100000"]
restore = ["sh", "-c", "cat > $TARGET/numbers"]
verify = ["grep", "-qx", "777"]

[[stream]]
name = "image"
profile = "image"
command = ["head", "-c", "300000", "/dev/zero"]
restore = ["sh", "-c", "cat > $TARGET/image; echo restored the image >&2"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "commands.toml"
    path.write_text(COMMANDS)
    return path


def options_of(
    file: Path | None, *names: str, environment: Mapping[str, str] | None = None
) -> DatabaseOptions:
    return DatabaseOptions(
        names=names,
        settings={} if file is None else {"file": str(file)},
        environment={"PATH": os.defpath, **(environment or {})},
    )


def save(file: Path, *names: str) -> MemorySink:
    sink = MemorySink()
    command.open_source(options_of(file, *names)).backup(sink)
    return sink


def target_of(to: RestoreTo) -> DatabaseTarget:
    return command.open_target(to, Method.LOGICAL)


def ignore(_: str, __: int) -> None:
    pass


def one(tmp_path: Path, script: str, more: str = "") -> Path:
    path = tmp_path / "one.toml"
    path.write_text(f"[[stream]]\nname = 'it'\ncommand = ['sh', '-c', '''{script}''']\n{more}\n")
    return path


def test_each_command_is_a_stream_in_its_profile(file: Path) -> None:
    source = command.open_source(options_of(file))
    assert source.check() == "2 commands"
    assert source.paths() == (b"",)
    assert source.plan()[0] == "numbers: seq 1 100000 (dump)"
    sink = save(file)
    assert sink.labels == ["numbers", "image"]
    assert sink.files[b"numbers"].data == b"".join(b"%d\n" % i for i in range(1, 100_001))
    assert sink.files[b"numbers"].profile is Profile.DUMP
    assert sink.files[b"image"].profile is Profile.IMAGE
    assert not sink.findings
    assert list(save(file, "image").files) == [b"image"]
    assert command.open_source(options_of(file, "image")).paths() == (b"image",)


def test_streams_are_fed_to_commands_or_written_as_files(file: Path, tmp_path: Path) -> None:
    files = save(file).stored()
    target = target_of(RestoreTo(options=options_of(file, environment={"TARGET": str(tmp_path)})))
    assert target.plan(files)[1].startswith("numbers to ")
    told: list[tuple[str, int]] = []
    assert target.restore(files, lambda name, count: told.append((name, count))) == [
        "image: restored the image"
    ]
    assert (tmp_path / "numbers").read_bytes() == files.files[b"numbers"]
    assert (tmp_path / "image").read_bytes() == files.files[b"image"]
    assert sum(count for name, count in told if name == "image") == 300_000

    directory = tmp_path / "new"
    place = RestoreTo(
        options=options_of(None, "image"), directory=str(directory), renamed={"image": "disk"}
    )
    assert "disk" in target_of(place).plan(files)[0]
    target_of(place).restore(files, ignore)
    assert os.listdir(directory) == ["disk"]
    with pytest.raises(DatabaseNotEmptyError, match="--overwrite"):
        target_of(place).restore(files, ignore)
    (directory / "disk").write_bytes(b"old")
    again = RestoreTo(
        options=place.options, directory=place.directory, renamed=place.renamed, overwrite=True
    )
    target_of(again).restore(files, ignore)
    assert (directory / "disk").read_bytes() == files.files[b"image"]


def test_questions_are_commands_that_read_a_stream(file: Path, tmp_path: Path) -> None:
    files = save(file).stored()
    with command.open_scratch(options_of(file), Method.LOGICAL, str(tmp_path / "s")) as scratch:
        scratch.target().restore(files, ignore)
        scratch.begin()
        assert scratch.databases() == ["image", "numbers"]
        assert scratch.verify() == []
        assert scratch.ask("numbers", "wc -l") == "100000"
        assert scratch.ask("numbers", "head -n 3") == "1"
        assert scratch.ask("numbers", "grep -q 77") == "ok"
        for database, statement in (
            ("numbers", "grep absent"), ("numbers", "'unfinished"), ("numbers", ""),
        ):  # fmt: skip
            with pytest.raises(ToolFailedError):
                scratch.ask(database, statement)
        with pytest.raises(DatabaseNotFoundError):
            scratch.ask("nothing", "wc -l")
    files.files[b"numbers"] = b"1\n2\n"
    with command.open_scratch(options_of(file), Method.LOGICAL, str(tmp_path / "t")) as scratch:
        scratch.target().restore(files, ignore)
        scratch.begin()
        assert "numbers: grep failed" in scratch.verify()[0]


def test_messages_and_empty_streams_are_findings(tmp_path: Path) -> None:
    talking = "echo one two >&2; echo data"
    assert [found.problem for found in save(one(tmp_path, talking)).findings] == ["one two"]
    assert not save(one(tmp_path, talking, "messages = 'ignored'")).findings
    assert "wrote nothing" in save(one(tmp_path, "true")).findings[0].problem
    assert not save(one(tmp_path, "true", "may_be_empty = true")).findings


def test_commands_that_fail_or_are_killed_are_errors(file: Path, tmp_path: Path) -> None:
    for script, message in (
        ("echo data; echo no more >&2; exit 7", "exit code 7.*no more"),
        ("echo data; kill -9 $$", "SIGKILL"),
    ):
        sink = MemorySink()
        source = command.open_source(options_of(one(tmp_path, script)))
        with pytest.raises(ToolFailedError, match=message):
            source.backup(sink)
        assert not sink.files
    endless = command.open_source(options_of(one(tmp_path, "exec cat /dev/zero")))

    def kill(_: bytes, place: int) -> None:
        if place > 1_000_000:
            kill_children("cat")

    with pytest.raises(ToolFailedError, match="SIGKILL"):
        endless.backup(MemorySink(before_read=kill))
    files = save(file).stored()
    for restore in ("exit 3", "exec true < /dev/null"):
        path = one(tmp_path, "true", f"restore = ['sh', '-c', '{restore}']")
        stored = MemoryFiles({b"it": files.files[b"numbers"] * 9})
        with pytest.raises(ToolFailedError, match="failed"):
            target_of(RestoreTo(options=options_of(path))).restore(stored, ignore)


def test_programs_and_streams_that_are_not_there(file: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    missing.write_text("[[stream]]\nname = 'a'\ncommand = ['no-such-program']")
    with pytest.raises(ToolNotFoundError, match="no-such-program"):
        command.open_source(options_of(missing)).check()
    with pytest.raises(DatabaseNotFoundError):
        command.open_source(options_of(file, "nothing"))
    files = save(file).stored()
    with pytest.raises(DatabaseNotFoundError):
        target_of(RestoreTo(options=options_of(file, "nothing"))).check(files)
    with pytest.raises(ConfigurationError, match="does not say how to restore numbers"):
        target_of(RestoreTo(options=options_of(missing, "numbers"))).check(files)
    (tmp_path / "numbers").mkdir()
    with pytest.raises(TargetError, match="is a directory"):
        target_of(RestoreTo(options=options_of(None), directory=str(tmp_path))).check(files)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "x = 1",
        "[[stream]]\nname = 'a'",
        "[[stream]]\nname = 'a'\ncommand = []",
        "[[stream]]\nname = 'a'\ncommand = 'echo a'",
        "[[stream]]\nname = 'a/b'\ncommand = ['true']",
        "[[stream]]\nname = '..'\ncommand = ['true']",
        "[[stream]]\nname = 'a'\ncommand = ['true']\nprofile = 'fast'",
        "[[stream]]\nname = 'a'\ncommand = ['true']\nmessages = 'none'",
        "[[stream]]\nname = 'a'\ncommand = ['true']\nshell = true",
        "[[stream]]\nname = 'a'\ncommand = ['true']\n" * 2,
        "[[stream]]\nname = 'a'\ncommand = ['true']\n[[other]]\nname = 'b'\ncommand = ['true']",
    ],
)
def test_files_that_make_no_sense(text: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"wrong\.toml"):
        command.open_source(options_of(path))


def test_options_that_make_no_sense(file: Path, tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    for options in (
        options_of(None),
        options_of(tmp_path / "absent.toml"),
        options_of(tmp_path / "bytes.toml"),
        DatabaseOptions(settings={"file": str(file), "speed": "9"}),
        DatabaseOptions(settings={"file": str(file)}, host="h"),
        DatabaseOptions(settings={"file": str(file)}, method=Method.PHYSICAL),
    ):
        with pytest.raises(ConfigurationError):
            command.open_source(options)
    for to in (
        RestoreTo(options=options_of(file), renamed={"a": "b"}),
        RestoreTo(options=options_of(file), target_time_ns=1),
        RestoreTo(options=options_of(file), target={"lsn": "0/0"}),
    ):
        with pytest.raises(ConfigurationError):
            target_of(to)
    files = MemoryFiles({b"a": b"1", b"b": b"2"})
    for renamed in ({"a": "../up"}, {"a": "b"}):
        to = RestoreTo(options=options_of(None), directory=str(tmp_path), renamed=renamed)
        with pytest.raises(ConfigurationError):
            target_of(to).check(files)
    with pytest.raises(ConfigurationError, match="--target"):
        target_of(RestoreTo(options=options_of(None))).check(files)
    with pytest.raises(DatabaseDamagedError):
        command.open_target(RestoreTo(options=options_of(file)), Method.PHYSICAL)
