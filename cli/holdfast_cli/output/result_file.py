"""A file that a command writes as its result: complete under its name, or not there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from holdfast.errors import HoldfastError
from holdfast_cli.output.names import printable


@dataclass(eq=False)
class ResultFileError(HoldfastError):
    """The file that the result was to be written to cannot be written."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"cannot write {printable(self.path)}: {self.reason}; choose another file"


@contextmanager
def result_file(path: str) -> Iterator[BinaryIO]:
    """Give a file to write to; it gets its name, and replaces what has it, when it is complete.

    Only its owner may read it: what is in a backup may be readable by few. Devices and pipes are
    written to as they are.

    Raises:
        ResultFileError: it cannot be made or written. What was begun is removed, as it is
            after any other failure.
    """
    try:
        is_regular = not os.path.exists(path) or stat.S_ISREG(os.stat(path).st_mode)
        if not is_regular:
            if os.path.isdir(path):
                raise ResultFileError(path, "it is a directory")
            with open(path, "wb", buffering=0) as device:
                yield device
            return
        real = os.path.realpath(path)
        unfinished = f"{real}.{os.getpid()}.unfinished"
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "wb", buffering=0) as file:
                yield file
                os.fsync(file.fileno())
            os.replace(unfinished, real)
        except BaseException:
            os.unlink(unfinished)
            raise
    except OSError as error:
        raise ResultFileError(path, (error.strerror or "unknown error").lower()) from error
