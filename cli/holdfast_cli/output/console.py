"""Output for a person or, with --json, for a program.

Results go to standard output and everything else to standard error, so that a pipe carries
nothing but the result.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from holdfast_cli.output.names import printable
from holdfast_cli.output.streams import write_error, writing

if TYPE_CHECKING:
    from holdfast_cli.output.tables import Table


class Output:
    """Where the commands write."""

    def __init__(self, *, json: bool, quiet: bool = False, verbosity: int = 0) -> None:
        self.json = json
        """Whether the caller is a program: commands write documents and events, no sentences."""
        self.quiet = quiet
        self.verbosity = verbosity

    def line(self, text: str = "") -> None:
        """Write one line of a result; control characters are shown, not sent."""
        with writing() as stream:
            stream.write(printable(text) + "\n")

    def summary(self, text: str) -> None:
        """Write a line that tells what a command did, unless --quiet."""
        if not self.quiet:
            self.line(text)

    def text(self, text: str) -> None:
        """Write text of our own as it is, ending in a line end."""
        with writing() as stream:
            stream.write(text if text.endswith("\n") else text + "\n")

    def note(self, text: str) -> None:
        """Write a line of general interest to standard error, unless --quiet or --json."""
        if not self.quiet and not self.json:
            write_error(printable(text))

    def warn(self, text: str) -> None:
        """Write a warning to standard error; with --json as an event there."""
        if self.json:
            write_error(format_event("warning", {"message": text}))
        else:
            write_error(f"holdfast: {printable(text)}")

    def document(self, value: object) -> None:
        """Write one JSON value on one line."""
        with writing() as stream:
            stream.write(json.dumps(value) + "\n")

    def documents(self, values: Iterable[object]) -> None:
        """Write a JSON list, one element a line, without holding it in memory."""
        separator = "[\n"
        for value in values:
            with writing() as stream:
                stream.write(separator + json.dumps(value))
            separator = ",\n"
        with writing() as stream:
            stream.write("[]\n" if separator == "[\n" else "\n]\n")

    def event(self, event: str, **fields: object) -> None:
        """Write one event as a JSON line and let it go at once."""
        with writing() as stream:
            stream.write(format_event(event, fields) + "\n")
            stream.flush()

    def table(self, table: Table) -> None:
        """Write a table: fitted to the window of a terminal, plain and never wrapped elsewhere."""
        with writing() as stream:
            table.write(stream)

    def binary(self) -> BinaryIO:
        """Return standard output for bytes; text written before is on its way already."""
        self.flush()
        return sys.stdout.buffer

    def flush(self) -> None:
        """Let everything written so far go."""
        with writing() as stream:
            stream.flush()


def format_event(event: str, fields: Mapping[str, Any]) -> str:
    """Return one event as a line of JSON. Non-ASCII is escaped: any locale can carry it."""
    return json.dumps({"event": event, **fields})
