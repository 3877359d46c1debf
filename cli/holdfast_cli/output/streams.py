"""The three standard streams, made safe for any name and any way of being started."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TextIO

from holdfast.errors import HoldfastError

_ERRORS: Final = "holdfast.names"


@dataclass(eq=False)
class OutputError(HoldfastError):
    """Standard output cannot be written, for a reason other than a reader that went away."""

    reason: str

    def __str__(self) -> str:
        return f"cannot write to standard output: {self.reason}"


def prepare_streams() -> None:
    """Make the standard streams usable whatever the caller left us.

    Closed ones are opened on /dev/null, so that no file of ours gets their numbers. Text that the
    locale cannot express is written as its original bytes (names of files) or as an escape; it
    never raises.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            if null != number:
                os.dup2(null, number)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, "r", encoding="utf-8", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    codecs.register_error(_ERRORS, _encode_anything)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def _encode_anything(error: UnicodeError) -> tuple[str | bytes, int]:
    """Encode what the locale cannot: escaped bytes as themselves, other characters by number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    encoded = bytearray()
    for character in error.object[error.start : error.end]:
        number = ord(character)
        if 0xDC80 <= number <= 0xDCFF:
            encoded.append(number - 0xDC00)
        else:
            encoded += character.encode("ascii", "backslashreplace")
    return bytes(encoded), error.end


def silence_stdout() -> None:
    """Drop what is still buffered, as the reader went away; else Python would complain at exit."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):
        return  # standard output is not a file: nothing will complain


@contextmanager
def writing() -> Iterator[TextIO]:
    """Give standard output; translate its failures.

    Raises:
        BrokenPipeError: the reader went away.
        OutputError: anything else.
    """
    try:
        yield sys.stdout
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(error.strerror or str(error)) from error


def write_error(text: str) -> None:
    """Write a line to standard error; if that is impossible nobody is left to be told."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return
