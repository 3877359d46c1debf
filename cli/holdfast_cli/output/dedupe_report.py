"""What a scan for duplicates found, as tables and sentences for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Final

from holdfast.benchmark.report import DedupeReport, Estimate, Setting
from holdfast.units import format_duration, format_size
from holdfast_cli.output.console import Output
from holdfast_cli.output.dedupe_figures import (
    base_settings,
    format_chunk_size,
    format_error,
    format_estimate,
    format_number,
    format_price,
    format_ratio,
    format_share,
    format_speed,
    is_estimated,
    is_recommended,
    settings_of,
)
from holdfast_cli.output.names import count
from holdfast_cli.output.tables import Column, Table

_MARK: Final = " *"
"""Behind the name of what is recommended."""


def show_dedupe(output: Output, report: DedupeReport, *, show_all: bool) -> None:
    """Write the report.

    Args:
        output: to where.
        report: what was found.
        show_all: with slice sizes and levels of every candidate, not only of the recommended.
    """
    output.line(_scanned(report))
    if not report.settings or not report.logical_bytes:
        output.line("nothing to measure: no file has content that can be read")
        return
    settings = base_settings(report)
    shown = settings[0]
    output.line()
    output.table(_savings(report, settings))
    output.line()
    output.table(_costs(report, settings))
    output.line(
        f"* recommended; slices of {format_size(shown.slice_size)}, zstd level {shown.level}, "
        f"prices in {report.currency}; Restore: decoded per byte of a single file"
    )
    for setting in settings:
        if show_all or is_recommended(report, setting.candidate):
            output.line()
            output.line(f"slices and levels with {setting.candidate.name}:")
            output.table(_trades(report, settings_of(report, setting.candidate)))
    _show_versions(output, report)
    output.line()
    for line in _conclusions(report):
        output.line(line)


def _scanned(report: DedupeReport) -> str:
    """Return one line about what was looked at."""
    what = f"{count(report.files, 'file')}, {format_size(report.logical_bytes)}"
    if len(report.versions) > 1:
        noun = "version" if report.is_series else "tree"
        what = f"{count(len(report.versions), noun)}, {what}"
    took = format_duration(report.seconds)
    if report.sample_share >= 1:
        return f"{what}; everything was read in {took}"
    read = format_size(sum(version.read_bytes for version in report.versions))
    return f"{what}; {read} of it ({format_share(report.sample_share)}) was read in {took}"


def _show_versions(output: Output, report: DedupeReport) -> None:
    """Write a row for each version or tree, of a series with what each adds."""
    if len(report.versions) < 2:
        return
    chosen = report.recommendation if report.is_series else None
    columns = [
        Column("Version" if report.is_series else "Tree", fold=True),
        Column("Files", "right"),
        Column("Size", "right"),
    ]
    added: Sequence[Estimate] = ()
    if chosen is not None:
        added = chosen.setting.added_bytes
        columns += [Column("Adds", "right"), Column("±", "right")]
    table = Table(tuple(columns))
    for version, more in zip_longest(report.versions, added):
        growth = () if more is None else (format_size(more.value), format_error(more))
        table.add(version.name, str(version.files), format_size(version.logical_bytes), *growth)
    output.line()
    if chosen is not None:
        output.line("stored bytes that each version adds with the recommended setting:")
    output.table(table)


def _savings(report: DedupeReport, settings: Sequence[Setting]) -> Table:
    """Return what each candidate saves."""
    unique = {cut.candidate: cut.unique_bytes for cut in report.cuts}
    table = Table(
        (
            Column("Chunker"),
            Column("Chunks of", "right"),
            Column("Unique", "right"),
            Column("Stored", "right"),
            Column("±", "right"),
            Column("Dedupe", "right"),
            Column("Compression", "right"),
            Column("Total", "right"),
        )
    )
    for one in settings:
        table.add(
            _name(report, one),
            format_chunk_size(one.candidate),
            format_size(unique[one.candidate].value),
            format_size(one.stored_bytes.value),
            format_error(one.stored_bytes),
            format_ratio(one.dedupe_ratio.value),
            format_ratio(one.compression_ratio.value),
            format_ratio(one.total_ratio.value),
        )
    return table


def _costs(report: DedupeReport, settings: Sequence[Setting]) -> Table:
    """Return what each candidate costs."""
    chunks = {cut.candidate: cut.chunks for cut in report.cuts}
    table = Table(
        (
            Column("Chunker"),
            Column("Chunks", "right"),
            Column("Index", "right"),
            Column("Memory", "right"),
            Column("Objects", "right"),
            Column("Requests", "right"),
            Column("A month", "right"),
            Column("Restore", "right"),
            Column("MB/s", "right"),
        )
    )
    for one in settings:
        table.add(
            _name(report, one),
            format_number(chunks[one.candidate].value),
            format_size(one.index_bytes),
            format_size(one.memory_bytes),
            format_number(one.objects),
            format_number(one.put_requests),
            format_price(one.price_month),
            format_ratio(one.restore_decoded_per_byte),
            format_speed(one.mb_s),
        )
    return table


def _trades(report: DedupeReport, settings: Sequence[Setting]) -> Table:
    """Return the slice sizes and levels of one candidate."""
    chosen = report.recommendation
    table = Table(
        (
            Column("Slice"),
            Column("Level"),
            Column("Stored", "right"),
            Column("±", "right"),
            Column("Total", "right"),
            Column("Objects", "right"),
            Column("A month", "right"),
            Column("Restore", "right"),
            Column("MB/s", "right"),
        )
    )
    for one in settings:
        is_chosen = chosen is not None and one == chosen.setting
        table.add(
            format_size(one.slice_size),
            str(one.level) + _MARK * is_chosen,
            format_size(one.stored_bytes.value),
            format_error(one.stored_bytes),
            format_ratio(one.total_ratio.value),
            format_number(one.objects),
            format_price(one.price_month),
            format_ratio(one.restore_decoded_per_byte),
            format_speed(one.mb_s),
        )
    return table


def _conclusions(report: DedupeReport) -> Iterator[str]:
    """Yield the recommendation, what it costs, how it grows, and how sure all that is."""
    chosen = report.recommendation
    if chosen is not None:
        one = chosen.setting
        yield chosen.sentence
        yield (
            f"That is {count(one.objects, 'object')}, stored by "
            f"{count(one.put_requests, 'request')} for {format_price(one.price_once)} "
            f"{report.currency}, by prices of {report.prices_of}."
        )
    if report.forecast is not None:
        later = ", ".join(
            f"{format_estimate(stored)} after {versions}"
            for versions, stored in report.forecast.after
        )
        yield (
            f"Each version adds {format_estimate(report.forecast.per_version)}. "
            f"If it goes on so, that makes {later} more."
        )
    if is_estimated(report):
        how = "only a part was " + ("read" if report.sample_share < 1 else "compressed")
        yield f"± holds the true figure in 19 of 20 cases, as {how}."


def _name(report: DedupeReport, setting: Setting) -> str:
    return setting.candidate.name + _MARK * is_recommended(report, setting.candidate)
