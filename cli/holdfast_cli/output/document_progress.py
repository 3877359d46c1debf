"""Who watches a long operation whose result is one JSON document."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from holdfast.findings import Finding
from holdfast.progress import NullProgress, Progress
from holdfast_cli.output.console import Output
from holdfast_cli.output.progress import watching


class Warnings(NullProgress):
    """Tells a program of problems on standard error: standard output gets the document alone."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def finding(self, finding: Finding) -> None:
        """Write the event "warning"."""
        self._output.warn(f"{finding.path}: {finding.problem}")


def watching_document(output: Output) -> AbstractContextManager[Progress]:
    """Give a watcher that shows progress to people, and only problems to programs."""
    return nullcontext(Warnings(output)) if output.json else watching(output)
