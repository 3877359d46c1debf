"""How command lines end: codes, sentences, streams, signals, start-up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import click
import pytest

from holdfast import errors
from holdfast.version import VERSION
from holdfast_cli import registry
from holdfast_cli.exit_codes import ExitCode, exit_code_of
from holdfast_cli.main import main
from holdfast_cli.registry import COMMANDS, build_program
from support import json_keys
from support.command_line import Runner, environment_for_processes, run_process

HEAVY = ("boto3", "lmdb", "cryptography", "rich", "zstandard", "msgspec", "blake3", "pathspec")

CODES = {
    "ConfigurationError": 2,
    "MissingExtraError": 2,
    "BackendError": 1,
    "NotFoundError": 1,
    "AlreadyExistsError": 1,
    "AccessDeniedError": 20,
    "OutOfSpaceError": 1,
    "TransientBackendError": 26,
    "RepositoryNotFoundError": 10,
    "RepositoryVanishedError": 10,
    "MountError": 30,
    "ListenError": 31,
    "RepositoryExistsError": 1,
    "UnsupportedVersionError": 1,
    "WrongKeyError": 12,
    "KeyFileError": 12,
    "KeySlotError": 1,
    "SnapshotNotFoundError": 1,
    "AmbiguousSnapshotError": 1,
    "PathNotFoundError": 1,
    "CommitVoidError": 1,
    "ForgetFinalError": 1,
    "PruneBusyError": 1,
    "UnsafeStorageError": 28,
    "NotMaintainerError": 29,
    "CacheError": 1,
    "IntegrityError": 13,
    "FormatError": 13,
    "AuthenticationError": 13,
    "HashMismatchError": 13,
    "MissingBlobError": 13,
    "SourceError": 1,
    "CommandFailedError": 1,
    "TargetError": 1,
    "TargetNotEmptyError": 1,
}


def concrete_errors() -> list[type[errors.HoldfastError]]:
    """All error classes of the engine that can be raised."""
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type)
        and issubclass(value, errors.HoldfastError)
        and value not in (errors.HoldfastError, errors.RepositoryError)
    ]


def example(error_class: type[errors.HoldfastError]) -> errors.HoldfastError:
    """An instance with a recognisable value in each field."""
    values: list[Any] = []
    for field in fields(error_class):  # type: ignore[arg-type]
        kind = str(field.type)
        values.append(
            7 if kind == "int" else ("ab", "ac") if "tuple" in kind else f"<{field.name}>"
        )
        assert field.default is MISSING or isinstance(field.default, str)
    return error_class(*values)


def test_every_error_class_has_its_exit_code() -> None:
    assert {each.__name__: int(exit_code_of(example(each))) for each in concrete_errors()} == CODES


@pytest.mark.parametrize("error_class", concrete_errors(), ids=lambda each: each.__name__)
def test_every_error_is_one_sentence_and_its_fields_fit_into_json(
    error_class: type[errors.HoldfastError],
) -> None:
    error = example(error_class)
    names = {field.name for field in fields(error)}  # type: ignore[arg-type]
    assert not names & {"event", "error", "message", "exit_code"}
    assert "\n" not in str(error)
    assert str(error)[0] == str(error)[0].lower()


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the command `version` raise `error`."""

    def raise_it(*_: object) -> None:
        raise error

    from holdfast_cli.commands import version

    monkeypatch.setattr(version.command, "callback", raise_it)


def test_an_error_is_a_sentence_on_standard_error(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(errors.WrongKeyError("/srv/repo", "password"), monkeypatch)
    outcome = run("version", code=12)
    assert outcome.out == ""
    assert outcome.err == (
        "holdfast: wrong password for the repository at /srv/repo; nothing was changed\n"
    )


def test_an_error_is_an_event_with_fields_for_programs(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(errors.WrongKeyError("/srv/repo", "password"), monkeypatch)
    outcome = run("--json", "version", code=12)
    assert outcome.out == ""
    assert outcome.error == {
        "event": "error",
        "error": "WrongKeyError",
        "message": "wrong password for the repository at /srv/repo; nothing was changed",
        "location": "/srv/repo",
        "tried": "password",
        "exit_code": 12,
    }


def test_a_defect_is_called_one_and_shows_details_on_demand_only(
    run: Runner, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    fail_with(KeyError("colour"), monkeypatch)
    outcome = run("version", code=1)
    assert outcome.err == (
        "holdfast: this is a defect of holdfast, please report it: KeyError: 'colour'; "
        "-v -v shows details\n"
    )
    assert run("--json", "version", code=1).error["error"] == "Defect"
    for arguments, variable in ((["-v", "-v"], ""), (["-vv"], ""), ([], "1")):
        monkeypatch.setenv("HOLDFAST_DEBUG", variable)
        assert main([*arguments, "version"]) == 1
        assert b"Traceback (most recent call last)" in capsysbinary.readouterr().err


def test_an_interruption_ends_with_130(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(KeyboardInterrupt(), monkeypatch)
    assert run("version", code=130).err == "holdfast: interrupted\n"
    assert run("version", "--json", code=130).error["error"] == "Interrupted"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["versio"], "there is no command 'versio'; did you mean `holdfast version`?"),
        (["zzz"], "there is no command 'zzz'; see `holdfast --help`"),
        (["version", "--no-such"], "no such option '--no-such'; see `holdfast version --help`"),
        (["completion", "tcsh"], "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
        (["version", "extra"], "got unexpected extra argument (extra)"),
        (["-q", "-v", "version"], "--quiet and --verbose exclude each other"),
        (
            ["--key-file", "a", "--password-file", "b", "version"],
            "the options --password-file and --key-file exclude each other",
        ),
    ],
)  # fmt: skip
def test_wrong_usage_is_a_sentence_that_says_where_help_is(
    run: Runner, arguments: list[str], sentence: str
) -> None:
    outcome = run(*arguments, code=2)
    assert outcome.err.startswith("holdfast: ")
    assert sentence in outcome.err
    assert outcome.err.count("\n") == 1
    assert run(*arguments, "--json", code=2).error["exit_code"] == 2


def test_without_a_command_help_is_shown_as_wrong_usage(run: Runner) -> None:
    outcome = main([])
    assert outcome == ExitCode.USAGE
    assert run("--help").out.startswith("Usage: holdfast ")


def test_help_lists_every_command_with_the_summary_of_its_module(run: Runner) -> None:
    text = run("--help").out
    for name, summary in COMMANDS.items():
        assert f"{name} " in text
        assert summary in " ".join(text.split())
        outcome = run(name, "--help")
        assert summary.rstrip(".").split(",")[0] in " ".join(outcome.out.split()), name
        assert "Examples:" in outcome.out, name


def test_global_options_stand_before_or_after_the_command(run: Runner) -> None:
    before = run("--json", "version").document
    assert before == run("version", "--json").document
    assert run("-v", "version").out == run("version", "-v").out


def test_version_tells_what_runs_here(run: Runner) -> None:
    assert run("version").out == f"holdfast {VERSION}\n" == run("--version").out
    document = run("version", "--json").document
    assert list(document) == json_keys.VERSION
    assert document["chunker"] in ("C", "Python")
    assert document["format_version"] == 1
    assert document["libraries"]["click"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_asks_holdfast(run: Runner, shell: str) -> None:
    script = run("completion", shell).out
    assert "_HOLDFAST_COMPLETE=" in script
    assert run("completion", shell, "--json").document == {"shell": shell, "script": script}


def test_completion_finds_commands_and_options(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_HOLDFAST_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "holdfast vers")
    monkeypatch.setenv("COMP_CWORD", "1")
    runner = Runner(run._capture)
    assert runner().out.splitlines() == ["plain,version"]
    monkeypatch.setenv("COMP_WORDS", "holdfast version --js")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert runner().out.splitlines() == ["plain,--json"]


def test_version_starts_without_loading_anything_heavy() -> None:
    program = (
        "import sys\n"
        "from holdfast_cli.main import main\n"
        "code = main(['version'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment_for_processes(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.decode() == f"holdfast {VERSION}\n[] 0\n"


def test_every_command_of_the_registry_exists_and_has_short_functions() -> None:
    program = build_program()
    context = program.make_context("holdfast", [], resilient_parsing=True)
    modules = {
        path.stem.replace("_", "-")
        for path in (Path(registry.__file__).parent / "commands").glob("*.py")
        if path.stem != "__init__"
    }
    subcommands: set[str] = set()
    for name in COMMANDS:
        command = program.get_command(context, name)
        assert command is not None
        assert command.name == name
        if isinstance(command, click.Group):
            subcommands.update(f"{name}-{inner}" for inner in command.commands)
    assert set(COMMANDS) <= modules <= set(COMMANDS) | subcommands


def test_a_reader_that_goes_away_is_no_news() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        outcome = run_process("completion", "bash", stdout=writing)
    finally:
        os.close(writing)
    assert (outcome.code, outcome.err) == (1, "")


def test_a_full_disk_behind_standard_output_is_a_failure() -> None:
    with open("/dev/full", "wb") as full:
        outcome = run_process("version", stdout=full)
    assert outcome.code == 1
    assert outcome.err == "holdfast: cannot write to standard output: No space left on device\n"


def test_closed_standard_streams_do_no_harm() -> None:
    command = f"{sys.executable} -m holdfast_cli version <&- >&- 2>&-"
    done = subprocess.run(
        ["/bin/sh", "-c", command], env=environment_for_processes(), check=False, timeout=60
    )
    assert done.returncode == 0


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_names_of_any_bytes_pass_through_messages(locale: str) -> None:
    environment = environment_for_processes(LC_ALL=locale, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    outcome = run_process(
        b"caf\xe9\xc3\xa9\x1b[31m".decode("utf-8", "surrogateescape"), env=environment
    )
    assert outcome.code == 2
    assert "Traceback" not in outcome.err
    assert b"\x1b" not in outcome.err_bytes
    as_json = run_process("--json", "x\udce9", env=environment)
    assert "x" in json.loads(as_json.err)["message"]
