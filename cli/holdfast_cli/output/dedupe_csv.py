"""What a scan for duplicates found, as rows of a CSV file: one for each setting. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from holdfast.benchmark.report import Cut, DedupeReport, Setting
from holdfast_cli.output.dedupe_json import chunk_bytes

_OF_CUT: Final = ("unique_bytes", "chunks", "references")
_OF_SETTING: Final = ("stored_bytes", "dedupe_ratio", "compression_ratio", "total_ratio")
_PLAIN: Final = (
    "index_bytes", "memory_bytes", "objects", "put_requests", "price_once", "price_month",
    "restore_decoded_per_byte", "mb_s",
)  # fmt: skip
_WHOLE_FROM: Final = 1e6
"""Numbers from here on are written without digits after the point."""


def dedupe_rows(report: DedupeReport) -> Iterator[tuple[str | int, ...]]:
    """Yield the names of the columns, then a row for each setting.

    Columns are called like the keys in JSON. An estimate has a second column `…_error`; the stored
    bytes that the n-th version adds are `added_bytes_n`.
    """
    versions = [f"added_bytes_{number}" for number in range(1, len(report.versions) + 1)]
    estimates = (*_OF_CUT, *_OF_SETTING, *versions)
    yield (
        *("chunker", "chunk_bytes", "slice_size", "level", "recommended"),
        *("logical_bytes", "sample_share"),
        *(column for name in estimates for column in (name, f"{name}_error")),
        *_PLAIN,
        "currency",
    )
    cuts = {cut.candidate: cut for cut in report.cuts}
    for setting in report.settings:
        yield _row(report, cuts[setting.candidate], setting)


def _row(report: DedupeReport, cut: Cut, setting: Setting) -> tuple[str | int, ...]:
    chosen = report.recommendation
    estimates = (
        *(getattr(cut, name) for name in _OF_CUT),
        *(getattr(setting, name) for name in _OF_SETTING),
        *setting.added_bytes,
    )
    return (
        setting.candidate.name,
        chunk_bytes(setting.candidate) or "",
        setting.slice_size,
        setting.level,
        int(chosen is not None and chosen.setting == setting),
        report.logical_bytes,
        _number(report.sample_share),
        *(_number(number) for each in estimates for number in (each.value, each.error)),
        *(_number(getattr(setting, name)) for name in _PLAIN),
        report.currency,
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= _WHOLE_FROM else f"{value:.6g}"
