"""How fast files are read: long ones from their disk, small ones and metadata from memory.

Long files are dropped from the kernel's memory before they are read, which needs no rights and
costs whoever uses them one more reading. Where the file system lies in memory itself nothing can
be dropped, and its speed is what is found.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.benchmark.speed_data import open_quietly
from holdfast.benchmark.speed_report import Measure, Stage, Unit
from holdfast.benchmark.speed_timing import Stopwatch, rate_of

SMALL: Final = 128 << 10
"""Files up to this size are small: their number counts more than their size."""
_MOST_FILES: Final = 4000
_SMALL_RUN: Final = 500
_SMALL_S: Final = 0.5
_LARGE_S: Final = 1.0
_LEAST_LARGE: Final = 256 << 10
"""Shorter parts say little of how fast a disk reads on."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A part of a file that is read."""

    path: bytes
    offset: int
    length: int


def measure_reading(
    large: Sequence[Extent], small: Sequence[bytes], watch: Stopwatch
) -> list[Measure]:
    """Measure both kinds of files; of a kind of which there are none nothing is returned.

    Files that went away meanwhile are passed over.

    Args:
        large: parts of long files, 1 MiB at the most.
        small: paths of files of at most `SMALL` bytes.
        watch: times.
    """
    extents = [extent for extent in large if extent.length >= _LEAST_LARGE]
    measures: list[Measure] = []
    if extents:
        measures += _measure_large(extents, watch)
    if small:
        measures += _measure_small(small[:_MOST_FILES], watch)
    return measures


def _measure_large(extents: Sequence[Extent], watch: Stopwatch) -> list[Measure]:
    """Read each extent twice: from the disk, and then from memory."""
    buffer = bytearray(max(extent.length for extent in extents))
    cold: list[float] = []
    warm: list[float] = []
    end_s = watch.now_s() + watch.budget_s(_LARGE_S)
    for extent in extents:
        try:
            descriptor = open_quietly(extent.path)
        except OSError:
            continue
        try:
            os.posix_fadvise(descriptor, extent.offset, extent.length, os.POSIX_FADV_DONTNEED)
            for rates in (cold, warm):
                begin_s = watch.now_s()
                count = os.preadv(descriptor, [memoryview(buffer)[: extent.length]], extent.offset)
                rates.append(count / max(1e-9, watch.now_s() - begin_s))
        except OSError:
            continue
        finally:
            os.close(descriptor)
        if watch.now_s() >= end_s:
            break
    return [
        Measure(stage=Stage.READ, name=name, unit=Unit.BYTES_PER_S, single=rate_of(rates))
        for name, rates in (("long-from-disk", cold), ("long-from-memory", warm))
        if rates
    ]


def _measure_small(paths: Sequence[bytes], watch: Stopwatch) -> list[Measure]:
    buffer = bytearray(SMALL + 1)

    def read(number: int) -> float:
        done = 0
        for path in _run(paths, number):
            try:
                descriptor = open_quietly(path)
            except OSError:
                continue
            try:
                os.fstat(descriptor)
                os.readv(descriptor, (buffer,))
                done += 1
            except OSError:
                continue
            finally:
                os.close(descriptor)
        return done

    def look(number: int) -> float:
        done = 0
        for path in _run(paths, number):
            try:
                os.lstat(path)
                done += 1
            except OSError:
                continue
        return done

    return [
        Measure(stage=Stage.READ, name=name, unit=Unit.PER_S, single=watch.rate(work, _SMALL_S))
        for name, work in (("small", read), ("metadata", look))
    ]


def _run(paths: Sequence[bytes], number: int) -> Sequence[bytes]:
    start = number * _SMALL_RUN % len(paths)
    return paths[start : start + _SMALL_RUN]
