"""Who watches a long operation."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.findings import Finding
from holdfast.progress import NullProgress, Progress
from holdfast_cli.output.console import Output
from holdfast_cli.output.json_lines import JsonProgress
from holdfast_cli.output.names import printable
from holdfast_cli.output.plain_progress import PlainProgress
from holdfast_cli.output.streams import write_error


@contextmanager
def watching(output: Output, *, calm: bool = False) -> Iterator[Progress]:
    """Give the watcher that fits, and let it clean up however the operation ends.

    Args:
        output: whether it is read by a program, and whether it is to be quiet.
        calm: show no progress to people, as the operation itself writes lines.
    """
    progress = QuietProgress() if calm and not output.json else choose_progress(output)
    try:
        yield progress
    finally:
        progress.end()


def choose_progress(output: Output) -> Progress:
    """Return a watcher: JSON lines, a bar on a terminal, or now and then a line."""
    if output.json:
        return JsonProgress(quiet=output.quiet)
    if output.quiet:
        return QuietProgress()
    if sys.stderr.isatty():
        from holdfast_cli.output.progress_bar import ProgressBar  # rich loads for 60 ms

        return ProgressBar()
    return PlainProgress()


class QuietProgress(NullProgress):
    """Shows problems and nothing else."""

    def finding(self, finding: Finding) -> None:
        """Write the problem to standard error."""
        write_error(describe_finding(finding))


def describe_finding(finding: Finding) -> str:
    """Return one line about a finding."""
    return f"holdfast: {printable(finding.path)}: {printable(finding.problem)}"
