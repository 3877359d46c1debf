"""Global options, variables and sources of secrets."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.crypto.secrets import KeyFile, Password
from holdfast.errors import ConfigurationError, KeyFileError
from holdfast_cli.options import SecretKind, SecretSource, Settings, merge_settings
from holdfast_cli.secret_sources import read_new_secret, read_secret
from support.command_line import Runner, run_on_terminal, run_process

HOME = {"HOME": "/home/anna"}
OPTIONS = ("password_file", "password_command", "key_file", "recovery_file")
VARIABLES = ("HOLDFAST_PASSWORD", *(f"HOLDFAST_{name.upper()}" for name in OPTIONS))


def test_nothing_given_leaves_everything_open() -> None:
    assert merge_settings({}, HOME) == Settings(cache_dir="/home/anna/.cache/holdfast")


def test_options_win_over_variables() -> None:
    environment = {
        **HOME,
        "HOLDFAST_REPOSITORY": "/env",
        "HOLDFAST_CACHE_DIR": "/env-cache",
        "HOLDFAST_PASSWORD": "secret",
    }
    assert merge_settings({}, environment) == Settings(
        repository="/env",
        cache_dir="/env-cache",
        secret=SecretSource(SecretKind.PASSWORD, "secret"),
    )
    given_ = {"repository": "/option", "cache_dir": "/option-cache", "key_file": "k"}
    assert merge_settings(given_, environment) == Settings(
        repository="/option",
        cache_dir="/option-cache",
        secret=SecretSource(SecretKind.KEY_FILE, "k"),
    )


def test_empty_variables_count_as_unset() -> None:
    environment = dict.fromkeys(("HOLDFAST_REPOSITORY", "HOLDFAST_CACHE_DIR", *VARIABLES), "")
    assert merge_settings({}, {**HOME, **environment}) == merge_settings({}, HOME)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/holdfast"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/holdfast"),
        ({"HOME": "relative"}, None),
    ],
)
def test_the_cache_lies_where_the_xdg_specification_says(
    environment: dict[str, str], expected: str | None
) -> None:
    assert merge_settings({}, environment).cache_dir == expected


@given(st.sets(st.sampled_from(OPTIONS)), st.sets(st.sampled_from(VARIABLES)))
def test_exactly_one_source_of_a_secret_counts(options: set[str], variables: set[str]) -> None:
    given_ = dict.fromkeys(options, "from option")
    environment = {**HOME, **dict.fromkeys(variables, "from variable")}
    level = options or variables
    if len(level) > 1:
        with pytest.raises(ConfigurationError, match="exclude each other"):
            merge_settings(given_, environment)
        return
    source = merge_settings(given_, environment).secret
    if not level:
        assert source is None
    else:
        (name,) = level
        assert source is not None
        assert source.kind.name == name.removeprefix("HOLDFAST_").upper()
        assert source.value == ("from option" if options else "from variable")


def test_secrets_never_show_in_a_representation() -> None:
    assert "hunter2" not in repr(SecretSource(SecretKind.PASSWORD, "hunter2"))


def test_debugging_needs_two_v_or_the_variable() -> None:
    assert not merge_settings({"verbose": 1}, HOME).debug
    assert merge_settings({"verbose": 2}, HOME).debug
    assert merge_settings({}, {**HOME, "HOLDFAST_DEBUG": "1"}).debug


def password_file(tmp_path: Path, content: bytes) -> SecretSource:
    path = tmp_path / "password"
    path.write_bytes(content)
    return SecretSource(SecretKind.PASSWORD_FILE, str(path))


@pytest.mark.parametrize("content", [b"pa ss", b"pa ss\n", b"pa ss\r\n", b"pa ss\nsecond line\n"])
def test_a_password_file_counts_up_to_the_first_line_end(tmp_path: Path, content: bytes) -> None:
    assert read_secret(password_file(tmp_path, content)) == Password("pa ss")


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", b"\nsecond line"])
def test_an_empty_password_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="is empty"):
        read_secret(password_file(tmp_path, content))


def test_a_password_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not text in UTF-8"):
        read_secret(password_file(tmp_path, b"\xff\xfe"))


def test_a_missing_password_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    with pytest.raises(ConfigurationError, match=f"{path}: no such file or directory"):
        read_secret(SecretSource(SecretKind.PASSWORD_FILE, str(path)))


def test_a_password_command_runs_without_a_shell() -> None:
    command = shlex.join([sys.executable, "-c", "import sys; print(sys.argv[1])", "$HOME; a  b"])
    source = SecretSource(SecretKind.PASSWORD_COMMAND, command)
    assert read_secret(source) == Password("$HOME; a  b")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("sh -c 'echo x; exit 3'", "the password command sh failed with exit code 3"),
        ("sh -c 'kill -9 $$'", "the password command sh failed with signal 9"),
        ("/no/such/command", "/no/such/command cannot be run: no such file or directory"),
        ("echo 'unclosed", "the password command is malformed"),
        (" ", "the password command is empty"),
        ("true", "the password from the password command is empty"),
    ],
)
def test_a_password_command_that_fails_is_an_error(command: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match="^" + reason.replace("$", r"\$") + "|" + reason):
        read_secret(SecretSource(SecretKind.PASSWORD_COMMAND, command))


def test_a_password_command_does_not_eat_standard_input(run: Runner) -> None:
    source = SecretSource(SecretKind.PASSWORD_COMMAND, "sh -c 'cat; echo secret'")
    assert read_secret(source) == Password("secret")


def test_a_missing_key_file_is_an_error_except_for_a_new_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    source = SecretSource(SecretKind.KEY_FILE, str(path))
    with pytest.raises(KeyFileError, match="no such file or directory"):
        read_secret(source)
    assert isinstance(read_new_secret(source, dry_run=True), KeyFile)
    assert not path.exists()
    made = read_new_secret(source)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert read_secret(source) == made == read_new_secret(source)


def test_recovery_words_cannot_be_chosen(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be chosen"):
        read_new_secret(SecretSource(SecretKind.RECOVERY_FILE, str(tmp_path / "words")))


def test_without_a_terminal_the_options_are_named(tmp_path: Path) -> None:
    outcome = run_process("-r", tmp_path / "r", "init", start_new_session=True)
    assert outcome.code == 2
    assert outcome.err == (
        "holdfast: no password was given and there is no terminal to ask on; "
        "use --password-file, --password-command or --key-file\n"
    )
    assert not (tmp_path / "r").exists()


def test_passwords_are_asked_for_twice_and_never_shown(tmp_path: Path) -> None:
    arguments = ["-r", str(tmp_path / "r"), "--cache-dir", str(tmp_path / "c"), "init"]
    code, seen = run_on_terminal(arguments, [b"one\n", b"two\n"])
    assert (code, b"the two passwords differ" in seen) == (2, True)
    code, seen = run_on_terminal(arguments, [b"\n"])
    assert (code, b"is empty" in seen) == (2, True)
    code, seen = run_on_terminal(arguments, [b"\x04"])
    assert (code, b"is empty" in seen) == (2, True)
    code, seen = run_on_terminal(arguments, [b"\x03"])
    assert (code, b"interrupted" in seen) == (130, True)
    assert not (tmp_path / "r").exists()
    code, seen = run_on_terminal(arguments, [b"open sesame\n", b"open sesame\n"])
    assert (code, b"sesame" in seen) == (0, False)
    arguments = [*arguments[:-1], "key", "list"]
    assert run_on_terminal(arguments, [b"wrong\n"])[0] == 12
    assert run_on_terminal(arguments, [b"open sesame\n"])[0] == 0
