"""Lanes fed from real files through small batches, and the same counted the plain way."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast.benchmark.batch import BLOCK, Batch
from holdfast.benchmark.grid import Candidate, WholeFiles
from holdfast.benchmark.lane import new_lane
from holdfast.benchmark.measured import LaneResult
from holdfast.benchmark.naming import ChunkNamer
from holdfast.benchmark.reader import Reader
from holdfast.benchmark.sample import Sampler
from holdfast.benchmark.slices import Stream
from holdfast.benchmark.squeezer import Squeezer
from holdfast.benchmark.survey import Problems, SourceWalk, WalkRules
from holdfast.progress import NullProgress

KEY = bytes(32)
SLICE = 64 << 10


@dataclass
class Counted:
    """What a lane should find if everything is read."""

    chunks: dict[bytes, int] = field(default_factory=dict)
    """Content -> the version that had it first."""
    references: int = 0
    bytes: int = 0

    def added(self, versions: int) -> list[int]:
        """Bytes that each version is the first to have."""
        return [
            sum(len(chunk) for chunk, first in self.chunks.items() if first == version)
            for version in range(versions)
        ]


def count(candidate: Candidate, versions: Sequence[Sequence[bytes]]) -> Counted:
    """Cut the contents of files of versions by the definition of the candidate."""
    counted = Counted()
    for version, files in enumerate(versions):
        for data in files:
            for chunk in pieces(candidate, data):
                counted.chunks.setdefault(chunk, version)
                counted.references += 1
                counted.bytes += len(chunk)
    return counted


def pieces(candidate: Candidate, data: bytes) -> list[bytes]:
    """The chunks of a file."""
    if isinstance(candidate, WholeFiles):
        return [data] if data else []
    ends = candidate.chunker(KEY).cuts(data, len(data), True)
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def measure(
    candidate: Candidate,
    versions: Sequence[Sequence[bytes]],
    *,
    share: float = 1.0,
    is_series: bool = True,
    take_all: bool = True,
) -> LaneResult:
    """Write the contents to files and let a lane take them, in batches of two blocks."""
    with (
        tempfile.TemporaryDirectory() as directory,
        Squeezer((SLICE,), (1,), 1) as squeezer,
    ):
        sources = [_fill(f"{directory}/{number}", files) for number, files in enumerate(versions)]
        stream = Stream((SLICE,), squeezer, len(versions) - 1, take_all=take_all)
        namer = ChunkNamer(KEY)
        lane = new_lane(candidate, namer, stream, len(versions))
        batches = [Batch(lane.history, 2 * BLOCK), Batch(lane.history, 2 * BLOCK)]

        def next_batch(batch: Batch) -> Batch:
            batch.find_texture()
            lane.take(batch)
            batches.reverse()
            batches[0].clear(batch.version)
            return batches[0]

        total = sum(len(data) for files in versions for data in files)
        problems = Problems(NullProgress())
        sampler = Sampler(share, total, is_series=is_series)
        reader = Reader(batches[0], next_batch, sampler, namer, lambda _: True, problems)
        for number, source in enumerate(sources):
            reader.begin_version(number)
            for file in SourceWalk(source, WalkRules(), problems).files():
                if file.size:
                    assert reader.read(file) == file.size
        reader.finish()
        return lane.finish(take_all=take_all)


def _fill(directory: str, files: Sequence[bytes]) -> bytes:
    os.mkdir(directory)
    for number, data in enumerate(files):
        with open(f"{directory}/{number:04}", "wb") as file:
            file.write(data)
    return os.fsencode(directory)
