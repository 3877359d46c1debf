"""What the options of `benchmark dedupe` mean, and which of them go together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from holdfast.benchmark.dedupe import DedupeOptions
from holdfast.benchmark.grid import DEFAULT_GRID, Grid, parse_candidate
from holdfast.benchmark.sample import Sample
from holdfast.compression import MAX_LEVEL, MIN_LEVEL
from holdfast.errors import ConfigurationError
from holdfast.format.config import MAX_SLICE_SIZE, MIN_SLICE_SIZE
from holdfast.policy.filters import ExcludeFilter
from holdfast.policy.prices import PriceTable
from holdfast.policy.selection import SnapshotFilter
from holdfast.threads import working_threads
from holdfast.units import format_size, parse_size
from holdfast_cli.snapshot_options import EVERYTHING

T = TypeVar("T")

_DEFAULT_SAMPLE: Final = 8 << 30
_SOURCE_OPTIONS: Final = (
    "series", "sample", "whole", "chunkers", "slices", "levels", "exclude", "exclude_caches",
    "one_file_system",
)  # fmt: skip
"""Parameters that say how files are scanned."""


def check_usage(paths: Sequence[str], wanted: SnapshotFilter, given: Mapping[str, Any]) -> None:
    """Refuse options that contradict each other or would have no effect.

    Args:
        paths: the command's arguments.
        wanted: the filter of snapshots.
        given: values of all other options.

    Raises:
        ConfigurationError: they do.
    """
    if given["snapshots"]:
        _refuse_source_options()
        return
    if wanted != EVERYTHING:
        raise ConfigurationError(
            "--host, --path and --tag choose among snapshots", "give --snapshots too"
        )
    if not paths:
        raise ConfigurationError(
            "nothing to measure", "name a directory, like ~, or give --snapshots for a repository"
        )
    if given["series"] and len(paths) < 2:
        raise ConfigurationError(
            "a series has at least two states", "name their directories, the oldest first"
        )
    if given["whole"] and given["sample"] is not None:
        raise ConfigurationError("--sample and --whole exclude each other", "give one of them")


def _refuse_source_options() -> None:
    context = click.get_current_context()
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in _SOURCE_OPTIONS and source is not ParameterSource.DEFAULT:
            raise ConfigurationError(
                f"{parameter.opts[0]} says how files are scanned, and --snapshots scans none",
                "give only one of them",
            )


def make_options(given: Mapping[str, Any], prices: PriceTable) -> DedupeOptions:
    """Return what the options of a scan mean.

    Raises:
        ConfigurationError: a value means nothing, or contradicts another.
    """
    exclude = ExcludeFilter(given["exclude"])
    return DedupeOptions(
        grid=Grid(
            candidates=_each(given["chunkers"], parse_candidate) or DEFAULT_GRID.candidates,
            slice_sizes=_each(given["slices"], _parse_slice) or DEFAULT_GRID.slice_sizes,
            levels=_each(given["levels"], _parse_level) or DEFAULT_GRID.levels,
        ),
        is_series=given["series"],
        sample=_parse_sample(given["sample"], is_whole=given["whole"]),
        prices=prices,
        exclude=None if exclude.is_empty else exclude,
        exclude_caches=given["exclude_caches"],
        one_file_system=given["one_file_system"],
        threads=working_threads(),
    )


def _each(values: Sequence[str], parse: Callable[[str], T]) -> tuple[T, ...]:
    """Return the distinct values of options that may hold several, separated by commas."""
    words = (word.strip() for value in values for word in value.split(","))
    return tuple(dict.fromkeys(parse(word) for word in words))


def _parse_slice(text: str) -> int:
    size = parse_size(text)
    if not MIN_SLICE_SIZE <= size <= MAX_SLICE_SIZE:
        raise ConfigurationError(
            f"a slice of {format_size(size)} is none that a repository can have",
            f"give {format_size(MIN_SLICE_SIZE)} to {format_size(MAX_SLICE_SIZE)}",
        )
    return size


def _parse_level(text: str) -> int:
    try:
        level = int(text)
    except ValueError:
        level = MAX_LEVEL + 1
    if not MIN_LEVEL <= level <= MAX_LEVEL:
        raise ConfigurationError(
            f"{text!r} is not a level", f"write a number from {MIN_LEVEL} to {MAX_LEVEL}"
        )
    return level


def _parse_sample(text: str | None, *, is_whole: bool) -> Sample:
    """Return what "10%", "20G" or nothing means.

    Raises:
        ConfigurationError: it means nothing.
    """
    if is_whole:
        return Sample(share=None, most_bytes=None)
    if text is None:
        return Sample(share=None, most_bytes=_DEFAULT_SAMPLE)
    try:
        if text.endswith("%"):
            sample = Sample(share=float(text[:-1]) / 100, most_bytes=None)
        else:
            sample = Sample(share=None, most_bytes=parse_size(text))
    except (ValueError, ConfigurationError):
        sample = Sample(share=0, most_bytes=None)
    if not (sample.most_bytes or 0 < (sample.share or 0) <= 1):
        raise ConfigurationError(
            f"{text!r} is no sample", "write a part like 10%, or a size like 20G"
        )
    return sample
