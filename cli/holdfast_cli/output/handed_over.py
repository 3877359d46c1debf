"""Progress of a restore that hands bytes over to a database's own tools."""

from __future__ import annotations

import time

from holdfast.progress import Progress


class HandedOver:
    """Counts what was handed over, for `DatabaseTarget.restore`.

    Args:
        progress: told of it.
        phase: what it is called.
        total_bytes: how much there is; 0 if that is not known.
    """

    def __init__(self, progress: Progress, phase: str, total_bytes: int) -> None:
        self._progress = progress
        self._labels: set[str] = set()
        self._begun_s = time.monotonic()
        self.size = 0
        """Bytes so far."""
        progress.begin(phase, total_bytes=total_bytes or None)

    def __call__(self, label: str, size: int) -> None:
        """So many more bytes were handed over; `label` is what is being restored."""
        self._labels.add(label)
        self.size += size
        self._progress.update(len(self._labels), self.size, label)

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self._begun_s
