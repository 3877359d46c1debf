"""How the speed of a machine is shown: two tables, the sentences, and JSON."""

from __future__ import annotations

from typing import Any, Final

from holdfast.benchmark.speed_limits import megabytes
from holdfast.benchmark.speed_report import (
    Measure,
    Prediction,
    Rate,
    SpeedReport,
    Stage,
    Unit,
)
from holdfast.units import format_duration, format_size
from holdfast_cli.output.console import Output
from holdfast_cli.output.names import count
from holdfast_cli.output.tables import Column, Table

_STAGES: Final = {
    Stage.READ: "read",
    Stage.CUT: "cut",
    Stage.NAME: "name",
    Stage.INDEX: "index",
    Stage.COMPRESS: "compress",
    Stage.DECOMPRESS: "decompress",
    Stage.SEAL: "encrypt",
    Stage.OPEN: "decrypt",
    Stage.STORAGE: "storage",
    Stage.BACKUP: "whole backup",
}
_NAMES: Final = {
    "long-from-disk": "long files, from the disk",
    "long-from-memory": "long files, from memory",
    "small": "small files",
    "look-up-known": "look up, known",
    "look-up-new": "look up, new",
    "small-write": "write 1 KiB",
    "small-read": "read 1 KiB",
    "new": "new data",
    "unchanged": "unchanged files",
    "fixed": "whatever the size",
}
"""Names of measures that do not speak for themselves."""
_TITLES: Final = {
    "disk": "read from the disk",
    "walk": "walk and compare",
    "read": "open and read files",
    "cut": "cut",
    "name": "name",
    "look-up": "look up",
    "compress": "compress",
    "seal": "encrypt",
    "store": "store",
    "metadata": "look at metadata",
    "compare": "compare",
}
_LEAST_SECONDS: Final = 1e-3


def show_speed(output: Output, report: SpeedReport) -> None:
    """Write what was measured, what each stage could do, and what limits."""
    output.table(_measures_table(report))
    output.line()
    output.table(_stages_table("New data", report.new))
    output.line()
    output.table(_stages_table("Unchanged files", report.unchanged))
    output.line()
    output.line(report.new.sentence)
    output.line(report.unchanged.sentence)
    output.summary(_explain(report))


def speed_json(report: SpeedReport) -> dict[str, Any]:
    """Return the report with stable keys."""
    data = report.data
    return {
        "threads": report.threads,
        "chunker": report.chunker,
        "data": {
            "own": data.is_own,
            "size": data.size,
            "files": data.files,
            "mean_file_bytes": round(data.mean_file_bytes),
            "unreadable": data.unreadable,
        },
        "index_blobs": report.index_blobs,
        "storage": report.storage,
        "connections": report.connections,
        "measures": [_measure_json(measure) for measure in report.measures],
        "new": _prediction_json(report.new),
        "unchanged": _prediction_json(report.unchanged),
        "seconds": round(report.seconds, 3),
        "left": list(report.left),
    }


def _measure_json(measure: Measure) -> dict[str, Any]:
    return {
        "stage": measure.stage.value,
        "name": measure.name,
        "unit": measure.unit.value,
        "single": _rate_json(measure.single),
        "parallel": _rate_json(measure.parallel) if measure.parallel is not None else None,
        "ratio": round(measure.ratio, 4) if measure.ratio is not None else None,
    }


def _rate_json(rate: Rate) -> dict[str, Any]:
    return {
        "median": _rounded(rate.median),
        "spread": _rounded(rate.spread),
        "runs": rate.runs,
    }


def _prediction_json(prediction: Prediction) -> dict[str, Any]:
    return {
        "bytes_per_s": round(prediction.bytes_per_s),
        "slowest": prediction.slowest,
        "sentence": prediction.sentence,
        "stages": [
            {
                "name": stage.name,
                "bytes_per_s": round(stage.bytes_per_s),
                "share": round(stage.share, 4),
            }
            for stage in prediction.stages
        ],
    }


def _rounded(value: float) -> float:
    """Return whole numbers where digits behind the point say nothing, microseconds else."""
    return round(value) if value >= 1000 else round(value, 7)


def _measures_table(report: SpeedReport) -> Table:
    columns = (
        Column("Stage"),
        Column("What"),
        Column("One thread", "right"),
        Column("±", "right"),
        Column(f"{report.threads} threads", "right"),
        Column("±", "right"),
    )
    table = Table(columns)
    last = None
    for measure in report.measures:
        parallel = measure.parallel
        table.add(
            _STAGES[measure.stage] if measure.stage != last else "",
            _what(measure, report),
            _format(measure.single, measure.unit),
            _spread(measure.single),
            _format(parallel, measure.unit) if parallel is not None else "",
            _spread(parallel) if parallel is not None else "",
        )
        last = measure.stage
    return table


def _what(measure: Measure, report: SpeedReport) -> str:
    name = _NAMES.get(measure.name, measure.name.replace("level-", "level "))
    if measure.ratio is not None:
        return f"{name}: {measure.ratio:.2f} x smaller"
    if measure.stage is Stage.STORAGE and measure.parallel is not None:
        return f"{name}: one, {report.connections} at once"
    return name


def _format(rate: Rate, unit: Unit) -> str:
    if unit is Unit.BYTES_PER_S:
        return megabytes(rate.median)
    if unit is Unit.PER_S:
        return f"{rate.median:,.0f}/s"
    digits = 1 if rate.median >= _LEAST_SECONDS else 3
    return f"{1000 * rate.median:.{digits}f} ms"


def _spread(rate: Rate) -> str:
    return f"{100 * rate.relative_spread:.0f} %" if rate.runs > 1 else ""


def _stages_table(title: str, prediction: Prediction) -> Table:
    table = Table(
        (
            Column(title),
            Column("Could do", "right"),
            Column("Of the processor's time", "right"),
            Column("Slowest"),
        )
    )
    for stage in prediction.stages:
        table.add(
            _TITLES[stage.name],
            megabytes(stage.bytes_per_s),
            f"{100 * stage.share:.0f} %" if stage.share else "",
            "*" if stage.name == prediction.slowest else "",
        )
    return table


def _explain(report: SpeedReport) -> str:
    """Say with what all of it was measured."""
    data = report.data
    mean = f"{format_size(data.mean_file_bytes)} each on average"
    if data.is_own:
        source = f"{format_size(data.size)} of {count(data.files, 'file')} of your own, {mean}"
    else:
        source = f"{format_size(data.size)} of seeded data in {count(data.files, 'file')}, {mean}"
    took, index = format_duration(report.seconds), count(report.index_blobs, "blob")
    return f"measured in {took} with {source}, an index of {index} and storage at {report.storage}"
