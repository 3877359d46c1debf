"""What a scan for duplicates found, with the stable keys of JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from holdfast.benchmark.grid import Candidate, WholeFiles
from holdfast.benchmark.report import Cut, DedupeReport, Estimate, Forecast, Recommendation, Setting

_DIGITS: Final = 4
_PRICE_DIGITS: Final = 9
"""A request costs 4e-7 USD."""


def dedupe_json(report: DedupeReport) -> dict[str, Any]:
    """Return the stable keys of a report; estimates are objects of `value` and `error`."""
    return {
        "versions": [
            {
                "name": version.name,
                "files": version.files,
                "logical_bytes": version.logical_bytes,
                "read_bytes": version.read_bytes,
            }
            for version in report.versions
        ],
        "is_series": report.is_series,
        "files": report.files,
        "logical_bytes": report.logical_bytes,
        "sample_share": round(report.sample_share, 6),
        "seconds": round(report.seconds, 3),
        "cuts": [_cut_json(cut) for cut in report.cuts],
        "settings": [_setting_json(setting) for setting in report.settings],
        "recommendation": _recommendation_json(report.recommendation),
        "forecast": _forecast_json(report.forecast),
        "unreadable": report.unreadable,
        "vanished": report.vanished,
        "currency": report.currency,
        "prices_of": report.prices_of,
    }


def chunk_bytes(candidate: Candidate) -> int | None:
    """Return the (average) length of a chunk; None where every file is one."""
    return None if isinstance(candidate, WholeFiles) else candidate.size


def _cut_json(cut: Cut) -> dict[str, Any]:
    return {
        "chunker": cut.candidate.name,
        "chunk_bytes": chunk_bytes(cut.candidate),
        "unique_bytes": _whole(cut.unique_bytes),
        "chunks": _whole(cut.chunks),
        "references": _whole(cut.references),
        "added_bytes": _wholes(cut.added_bytes),
        "decoded_per_byte": round(cut.decoded_per_byte, _DIGITS),
        "decoded_last": round(cut.decoded_last, _DIGITS),
        "core_seconds_per_gib": round(cut.core_seconds_per_gib, _DIGITS),
    }


def _setting_json(setting: Setting) -> dict[str, Any]:
    return {
        "chunker": setting.candidate.name,
        "slice_size": setting.slice_size,
        "level": setting.level,
        "stored_bytes": _whole(setting.stored_bytes),
        "added_bytes": _wholes(setting.added_bytes),
        "dedupe_ratio": _ratio(setting.dedupe_ratio),
        "compression_ratio": _ratio(setting.compression_ratio),
        "total_ratio": _ratio(setting.total_ratio),
        "index_bytes": setting.index_bytes,
        "memory_bytes": setting.memory_bytes,
        "objects": setting.objects,
        "put_requests": setting.put_requests,
        "price_once": round(setting.price_once, _PRICE_DIGITS),
        "price_month": round(setting.price_month, _PRICE_DIGITS),
        "restore_decoded_per_byte": round(setting.restore_decoded_per_byte, _DIGITS),
        "mb_s": round(setting.mb_s, 1),
    }


def _recommendation_json(chosen: Recommendation | None) -> dict[str, Any] | None:
    if chosen is None:
        return None
    return {
        "chunker": chosen.setting.candidate.name,
        "slice_size": chosen.setting.slice_size,
        "level": chosen.setting.level,
        "options": list(chosen.options),
        "sentence": chosen.sentence,
    }


def _forecast_json(forecast: Forecast | None) -> dict[str, Any] | None:
    if forecast is None:
        return None
    return {
        "per_version": _whole(forecast.per_version),
        "after": [
            {"versions": versions, "stored_bytes": _whole(stored)}
            for versions, stored in forecast.after
        ],
    }


def _whole(estimate: Estimate) -> dict[str, int]:
    """Return an estimate of bytes or chunks."""
    return {"value": round(estimate.value), "error": round(estimate.error)}


def _wholes(estimates: Iterable[Estimate]) -> list[dict[str, int]]:
    return [_whole(one) for one in estimates]


def _ratio(estimate: Estimate) -> dict[str, float]:
    return {"value": round(estimate.value, _DIGITS), "error": round(estimate.error, _DIGITS)}
