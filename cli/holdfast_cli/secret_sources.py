"""Passwords and keys: from a file, a command, the environment or the terminal."""

from __future__ import annotations

import getpass
import os
import shlex
import subprocess
from typing import Final

from holdfast.crypto.secrets import (
    KeyFile,
    Password,
    Secret,
    parse_recovery_words,
    read_key_file,
    write_key_file,
)
from holdfast.errors import ConfigurationError
from holdfast_cli.options import SecretKind, SecretSource

_MAX_LENGTH: Final = 1 << 16
_COMMAND_TIMEOUT_S: Final = 300.0


def read_secret(
    source: SecretSource | None, *, prompt: str = "Password of the repository: "
) -> Secret:
    """Get the secret that opens the repository; without a source ask on the terminal.

    Raises:
        ConfigurationError: the source gives no password, or there is no terminal.
        KeyFileError: the key file or the recovery words are unusable.
    """
    if source is None:
        return Password(_ask(prompt))
    match source.kind:
        case SecretKind.PASSWORD:
            return _password(source.value, "HOLDFAST_PASSWORD")
        case SecretKind.PASSWORD_FILE:
            return _password(_read_text(source.value, "the password file"), source.value)
        case SecretKind.PASSWORD_COMMAND:
            return _password(_run_command(source.value), "the password command")
        case SecretKind.KEY_FILE:
            return read_key_file(source.value)
        case SecretKind.RECOVERY_FILE:
            return parse_recovery_words(_read_text(source.value, "the file of recovery words"))


def read_new_secret(source: SecretSource | None, *, dry_run: bool = False) -> Password | KeyFile:
    """Get a secret for a new key slot; without a source ask for a password twice.

    A key file that is not there is made, unless this is a dry run.

    Raises:
        ConfigurationError: no password, two that differ, no terminal, or a recovery file.
        KeyFileError: the key file is unusable or cannot be made.
    """
    if source is None:
        password = _ask("New password: ")
        if _ask("Once more: ") != password:
            raise ConfigurationError("the two passwords differ", "nothing was changed; try again")
        return Password(password)
    if source.kind is SecretKind.RECOVERY_FILE:
        raise ConfigurationError(
            "recovery words cannot be chosen", "`holdfast key recovery` makes and prints new ones"
        )
    if source.kind is SecretKind.KEY_FILE and not os.path.lexists(source.value):
        return KeyFile(bytes(32)) if dry_run else write_key_file(source.value)
    secret = read_secret(source)
    assert isinstance(secret, Password | KeyFile)
    return secret


def _password(text: str, origin: str) -> Password:
    """Take the first line, as editors and `echo` end it with a line end."""
    line = text.split("\n", 1)[0].removesuffix("\r")
    if not line:
        raise ConfigurationError(f"the password from {origin} is empty", "give one that is not")
    try:
        line.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"the password from {origin} is not text in UTF-8", "use one that is, or a key file"
        ) from error
    return Password(line)


def _read_text(path: str, what: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_LENGTH)
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise ConfigurationError(f"cannot read {what} {path}: {reason}") from error
    return content.decode("utf-8", "surrogateescape")


def _run_command(command: str) -> str:
    hint = "run it by hand to see what is wrong"
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigurationError(f"the password command is malformed ({error})", hint) from error
    if not words:
        raise ConfigurationError("the password command is empty", hint)
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=False,
            timeout=_COMMAND_TIMEOUT_S,
        )
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        message = f"the password command {words[0]} cannot be run: {reason}"
        raise ConfigurationError(message, hint) from error
    except subprocess.TimeoutExpired as error:
        message = f"the password command {words[0]} took longer than {_COMMAND_TIMEOUT_S:.0f} s"
        raise ConfigurationError(message, hint) from error
    if done.returncode != 0:
        how = (
            f"exit code {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
        )
        raise ConfigurationError(f"the password command {words[0]} failed with {how}", hint)
    return done.stdout.decode("utf-8", "surrogateescape")


def _ask(prompt: str) -> str:
    """Ask on the terminal itself, whatever the standard streams are.

    Raises:
        ConfigurationError: no terminal, or nothing was typed.
    """
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError as error:
        raise ConfigurationError(
            "no password was given and there is no terminal to ask on",
            "use --password-file, --password-command or --key-file",
        ) from error
    try:
        answer = getpass.getpass(prompt)
    except EOFError:
        answer = ""
    return _password(answer, "the terminal").text
