"""The terminal as textual sees it, made to survive the terminal's end.

When a line breaks, writes fail. Textual's thread for output would die of the first, its queue
would fill, and the program would wait for it for ever, with the repository's cache open.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, cast

from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from textual.app import App


class _LastingStream:
    """A stream whose writes vanish once they fail: SIGHUP ends the program, or the next read."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write if that is possible."""
        try:
            return self._stream.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Flush if that is possible."""
        try:
            self._stream.flush()
        except OSError:
            return

    def fileno(self) -> int:
        """Return the stream's descriptor."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Tell whether it is, or was, a terminal."""
        return self._stream.isatty()


class TerminalDriver(LinuxDriver):
    """Textual's driver with a stream that does not fail."""

    def __init__(
        self,
        app: App[int],
        *,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._file = cast(Any, _LastingStream(cast(IO[str], self._file)))
