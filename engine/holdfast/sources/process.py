"""Running the tools of databases: found, watched, and never believed before they have ended well.

A tool's standard error is drained by a thread and kept within bounds: it becomes findings when the
tool ends well, and part of the error when it does not. No tool survives the block that started it.
Nothing secret is ever an argument: other users of the machine could read it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Final

from holdfast.closing import Closing
from holdfast.database_errors import ToolFailedError, ToolNotFoundError

_PIPE_SIZE: Final = 1 << 20
"""Bytes of a pipe: a tool that waits for room stands still, and so does the server behind it."""
_MOST_LINES: Final = 50
"""Lines of a tool's messages kept: the first and the last of them."""
_LONGEST_LINE: Final = 1000
_GRACE_S: Final = 5.0
_VERSION: Final = re.compile(r"(\d+)\.(\d+)")


def find_tool(
    name: str, directory: str | None, environment: Mapping[str, str], package: str
) -> str:
    """Return the path of a tool.

    Args:
        name: of the program.
        directory: where to look, and nowhere else; None for PATH.
        environment: whose PATH counts.
        package: what brings the program, for people.

    Raises:
        ToolNotFoundError: it is not there.
    """
    path = directory if directory is not None else environment.get("PATH", os.defpath)
    found = shutil.which(name, path=path)
    if found is None:
        raise ToolNotFoundError(name, package)
    return found


def first_version(text: str) -> tuple[int, int]:
    """Return the first "12.34" in what a tool or server says of its version; (0, 0) if none."""
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


class Messages:
    """What a tool wrote to its standard error, within bounds; drained by a thread."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=_MOST_LINES)
        self._thread = threading.Thread(target=self._drain, name="holdfast-messages", daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        for line in iter(lambda: self._stream.readline(_LONGEST_LINE), b""):
            text = line.decode("utf-8", "backslashreplace").strip()
            if not text:
                continue
            if len(self._first) < _MOST_LINES:
                self._first.append(text)
            else:
                self._last.append(text)

    def lines(self) -> list[str]:
        """Return the lines, once the tool has ended."""
        self._thread.join(_GRACE_S)
        return [*self._first, *self._last]

    def close(self) -> None:
        """Release the stream, unless a child that the tool left behind still holds it."""
        self._thread.join(_GRACE_S)
        if not self._thread.is_alive():
            self._stream.close()


class Tool(Closing):
    """A running tool; a context manager, whose end kills what still runs.

    Args:
        words: program and arguments, run without a shell.
        environment: all that it sees of the environment.
        stdin: whether it is written to.
        stdout: whether it is read from; else its output is dropped.
        user: run it as this user of the system; only root may say so.
        cwd: its working directory.
    """

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdin: bool = False,
        stdout: bool = True,
        user: str | None = None,
        cwd: str | None = None,
    ) -> None:
        self.name = os.path.basename(words[0])
        try:
            self._process = subprocess.Popen(
                list(words),
                env=dict(environment),
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE if stdout else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                user=user,
                group=None if user is None else _group_of(user),
                extra_groups=None if user is None else (),
                cwd=cwd,
                # Ctrl-C on a terminal goes to its whole group: who ends tools, and in which
                # order, is decided here.
                start_new_session=True,
            )
        except OSError as error:
            raise ToolFailedError(self.name, (error.strerror or str(error)).lower()) from error
        process = self._process
        assert process.stderr is not None
        self.messages = Messages(process.stderr)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                _widen(pipe)

    def readinto(self, view: memoryview) -> int:
        """Read what comes next of its output; 0 at the end, which says nothing of how it ended."""
        stdout = self._process.stdout
        assert stdout is not None
        return os.readv(stdout.fileno(), (view,))

    def read_all(self) -> bytes:
        """Return the rest of its output."""
        stdout = self._process.stdout
        assert stdout is not None
        return stdout.read()

    @property
    def stdout(self) -> IO[bytes]:
        """Its output, buffered."""
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet: for servers, which nobody reads to their end."""
        return self._process.poll() is None

    def write(self, data: bytes | memoryview) -> None:
        """Write to its input.

        Raises:
            ToolFailedError: it ended before it had read everything.
        """
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(data)
        except BrokenPipeError:
            self.finish()
            raise ToolFailedError(
                self.name, "it did not read its whole input", self._last_words()
            ) from None

    def flush(self) -> None:
        """Hand over what was written: for tools that answer before their input ends.

        Raises:
            ToolFailedError: it ended before it had read everything.
        """
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.flush()
        except BrokenPipeError:
            self.finish()
            raise ToolFailedError(
                self.name, "it did not read its whole input", self._last_words()
            ) from None

    def end_input(self) -> None:
        """Tell it that no more input comes."""
        stdin = self._process.stdin
        if stdin is not None:
            try:
                stdin.close()
            except BrokenPipeError:
                pass

    def finish(self) -> list[str]:
        """Close its input, wait for its end, and return its messages.

        Raises:
            ToolFailedError: it ended with a code other than 0, or by a signal.
        """
        self.end_input()
        code = self._process.wait()
        if code:
            ended = f"exit code {code}" if code > 0 else f"killed by {_signal_name(-code)}"
            raise ToolFailedError(self.name, ended, self._last_words())
        return self.messages.lines()

    def _last_words(self) -> str:
        return "; ".join(self.messages.lines()[-5:])

    def close(self) -> None:
        """Kill it if it still runs, and release its pipes."""
        process = self._process
        if process.poll() is None:
            # With all that it has started: a child that lived on would hold the pipes open.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                process.kill()
            process.wait()
        self.end_input()
        if process.stdout is not None:
            process.stdout.close()
        self.messages.close()


def tied_to_this_process(words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return how a server is run that must not outlive this process, even if that is killed.

    Start it from a thread that lives as long as it shall: the kernel ends it with that thread
    (prctl(2), PR_SET_PDEATHSIG). Where util-linux's `setpriv` is missing, only `Tool.close` ends it.
    """
    setpriv = shutil.which("setpriv", path=environment.get("PATH", os.defpath))
    return [setpriv, "--pdeathsig", "KILL", *words] if setpriv is not None else list(words)


def run_tool(
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    given: bytes | Iterable[bytes] = b"",
    user: str | None = None,
    cwd: str | None = None,
) -> str:
    """Run a tool to its end and return its output as text; for short answers.

    Args:
        words: program and arguments.
        environment: all that it sees of the environment.
        given: its input: some KiB, read by it before it answers.
        user: as for `Tool`.
        cwd: as for `Tool`.

    Raises:
        ToolFailedError: it failed.
    """
    with Tool(words, environment, stdin=bool(given), user=user, cwd=cwd) as tool:
        for piece in (given,) if isinstance(given, bytes) else given:
            if piece:
                tool.write(piece)
        tool.end_input()
        output = tool.read_all()
        tool.finish()
    return output.decode("utf-8", "backslashreplace")


def _group_of(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _widen(pipe: IO[bytes]) -> None:
    """Make a pipe larger where the system allows it; the default 64 KiB work too, slower."""
    try:
        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    except (AttributeError, OSError):
        pass
