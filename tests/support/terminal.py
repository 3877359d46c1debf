"""A real terminal: tmux with a server of its own, driven by keys and read as a screen."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

_PATIENCE_S: Final = 30.0
_LOOK_S: Final = 0.03


def is_missing() -> str:
    """Say why there is no terminal to drive; empty if there is one."""
    return "" if shutil.which("tmux") else "tmux is not installed"


class Terminal:
    """A program on a terminal of so many cells; a context manager.

    The tmux server is private and ends with it, and so does the program.

    Args:
        command: the program and its arguments.
        width: columns.
        height: lines.
        environment: of the program, all of it.
        directory: the program's working directory.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        width: int = 80,
        height: int = 24,
        environment: Mapping[str, str],
        directory: str,
    ) -> None:
        # Not in the test's own directory: the path of a socket has 107 bytes at the most.
        self._home = tempfile.mkdtemp(prefix="holdfast-tmux-")
        self._environment = dict(environment)
        self._hung_up = False
        # The shell stays, so that the screen after the program's end can be looked at.
        script = f'{shlex.join(command)}; echo "ended with $?"; read -r _'
        self._tmux(
            "new-session", "-d", "-x", str(width), "-y", str(height), "-c", directory,
            "sh", "-c", script,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._hung_up:
            self._tmux("kill-server")
        shutil.rmtree(self._home)

    def hang_up(self) -> None:
        """Take the terminal away, as a line that breaks does."""
        self._hung_up = True
        self._tmux("kill-server")

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-u", "-S", f"{self._home}/socket", "-f", "/dev/null", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    def screen(self, *, colours: bool = False) -> str:
        """Return what is on the screen; with `colours` the orders for them too."""
        return self._tmux("capture-pane", "-p", *(["-e"] if colours else []))

    def line(self, text: str) -> str:
        """Return the line of the screen that holds a text."""
        return next(line for line in self.screen().splitlines() if text in line)

    def program_id(self) -> int:
        """Return the process id of the program."""
        shell = self._tmux("display-message", "-p", "#{pane_pid}").strip()
        with open(f"/proc/{shell}/task/{shell}/children", encoding="ascii") as children:
            return int(children.read().split()[0])

    def press(self, *keys: str) -> None:
        """Press keys by their names in tmux: "Enter", "Down", "q"."""
        self._tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type a text as it is."""
        self._tmux("send-keys", "-l", text)

    def wait_for(self, *patterns: str, gone: str | None = None) -> str:
        """Wait until the screen fits all regular expressions, and return it.

        Args:
            patterns: searched for, "^" and "$" at lines.
            gone: one that must not be found any more.
        """

        def fits(screen: str) -> bool:
            found = all(re.search(pattern, screen, re.MULTILINE) for pattern in patterns)
            return found and (gone is None or not re.search(gone, screen, re.MULTILINE))

        return self._wait(fits, f"{patterns} without {gone}")

    def _wait(self, fits: Callable[[str], bool], what: str) -> str:
        limit = time.monotonic() + _PATIENCE_S
        while True:
            screen = self.screen()
            if fits(screen):
                return screen
            if time.monotonic() > limit:
                raise AssertionError(f"never on the screen: {what}\n{screen}")
            time.sleep(_LOOK_S)
