"""Going on in the background: a process that stays after the command has returned."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Final

from holdfast.errors import ConfigurationError

_READY: Final = b"ready"

Ready = Callable[[], None]


def run_in_background(
    work: Callable[[Ready], int], log_path: str, on_ready: Callable[[int], None]
) -> int:
    """Do `work` in a process of its own, and return in both: here once it is ready.

    To be called before threads are started and databases opened, as neither survives a fork. What
    goes wrong before `work` is ready is told on this terminal; what is written to standard error
    after that goes to the log.

    Args:
        work: gets what it must call once it is ready, and returns an exit code.
        log_path: file that is appended to.
        on_ready: called here with the number of the other process.

    Returns:
        The exit code: of `work` in the other process, here 0 or what the other one ended with.

    Raises:
        ConfigurationError: the log cannot be written.
    """
    log = _open_log(log_path)
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        os.close(log)
        return _wait(child, reading, on_ready)
    os.close(reading)
    os.setsid()  # the terminal may go without taking us with it

    def ready() -> None:
        null = os.open(os.devnull, os.O_RDWR)
        for number, target in ((0, null), (1, null), (2, log)):
            os.dup2(target, number)
        os.close(null)
        os.write(writing, _READY)
        os.close(writing)

    return work(ready)


def _wait(child: int, reading: int, on_ready: Callable[[int], None]) -> int:
    """Wait until the other process is ready or over; who gives up ends it too."""
    try:
        with os.fdopen(reading, "rb") as pipe:
            if pipe.read() == _READY:
                on_ready(child)
                return 0
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)  # Ctrl-C does not reach its session
        if code := _end_of(child):
            return code  # it has said what there is to say
        raise
    return _end_of(child)


def _end_of(child: int) -> int:
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _open_log(path: str) -> int:
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"the log {path} cannot be written: {error.strerror}", "name another with --log"
        ) from error
