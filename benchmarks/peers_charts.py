"""The comparison as charts: time, space and memory, a panel for each data set.

Drawn with matplotlib, as SVG whose bytes depend on the figures alone. Peers differ in lightness
and pattern too, so the charts can be read in grey.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from report import TITLES, work_title
from results import SetResult, total

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLES: Final = {
    "holdfast": ("#08306b", "", "o"),
    "restic": ("#f0a830", "", "s"),
    "rustic": ("#c77c11", "//", "D"),
    "borg": ("#4d9a7a", "\\\\", "^"),
    "borg2": ("#9ed3bb", "..", "v"),
    "kopia": ("#b8b8b8", "xx", "P"),
}
"""Colour, hatch and marker by peer."""
_COLUMNS: Final = 2
_PANEL_INCHES: Final = (5.2, 2.6)
_TIMED: Final = ("unchanged", "restore", "check", "prune")


def draw(sets: Sequence[SetResult], directory: Path) -> list[Path]:
    """Write the charts as `peers-time.svg`, `peers-size.svg` and `peers-memory.svg`.

    Raises:
        OSError: they cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    charts: dict[str, tuple[str, Callable[[Axes, SetResult], None]]] = {
        "peers-time.svg": ("Time of each work, seconds (less is better)", _draw_times),
        "peers-size.svg": ("Stored after each night, MB (less is better)", _draw_sizes),
        "peers-memory.svg": ("Peak memory of each work, MB (less is better)", _draw_memory),
    }
    for name, (title, panel) in charts.items():
        _figure(directory / name, title, sets, panel)
    return [directory / name for name in charts]


def _figure(
    path: Path, title: str, sets: Sequence[SetResult], panel: Callable[[Axes, SetResult], None]
) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = -(-len(sets) // _COLUMNS)
    settings: Any = {
        # Else the names of clip paths are random, and text depends on the fonts that are there.
        "svg.hashsalt": "holdfast",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9,
        "hatch.linewidth": 0.5,
    }
    with mpl.rc_context(settings):
        size = (_COLUMNS * _PANEL_INCHES[0], rows * _PANEL_INCHES[1] + 0.8)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, _COLUMNS, squeeze=False).flatten()
        for ax, one in zip(axes, sets, strict=False):
            panel(ax, one)
            ax.set_title(one.title, loc="left", fontsize=10)
            ax.spines[["top", "right"]].set_visible(False)
        for ax in axes[len(sets) :]:
            ax.set_axis_off()
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        shown = {
            label: handle
            for ax in axes
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            shown.values(), shown.keys(), loc="outside lower center", ncols=6, frameon=False
        )
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _draw_times(ax: Axes, one: SetResult) -> None:
    def seconds(peer: str, works: Sequence[str]) -> float | None:
        found = [one.outcomes[work, peer] for work in works if (work, peer) in one.outcomes]
        return total(found).wall_s if len(found) == len(works) else None

    groups = [("night 1", one.night_works[:1]), ("later nights", one.night_works[1:])]
    groups += [(work_title(work).partition(",")[0], (work,)) for work in _TIMED if one.of(work)]
    _bars(ax, one, groups, seconds)


def _draw_memory(ax: Axes, one: SetResult) -> None:
    def megabytes(peer: str, works: Sequence[str]) -> float | None:
        found = [one.outcomes[work, peer] for work in works if (work, peer) in one.outcomes]
        return total(found).peak_rss / 1e6 if len(found) == len(works) else None

    groups: list[tuple[str, tuple[str, ...]]] = [("backup", one.night_works)]
    groups += [(work_title(work).partition(",")[0], (work,)) for work in _TIMED if one.of(work)]
    _bars(ax, one, groups, megabytes)


def _bars(
    ax: Axes,
    one: SetResult,
    groups: Sequence[tuple[str, Sequence[str]]],
    figure: Callable[[str, Sequence[str]], float | None],
) -> None:
    width = 0.8 / len(one.peers)
    for place, peer in enumerate(one.peers):
        colour, hatch, _ = _STYLES[peer]
        figures = [figure(peer, works) for _, works in groups]
        ax.bar(
            [group - 0.4 + (place + 0.5) * width for group in range(len(groups))],
            [value or 0.0 for value in figures],
            width=width,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.4,
            label=TITLES[peer],
        )
    ax.set_xticks(range(len(groups)), [title.replace(" ", "\n", 1) for title, _ in groups])
    ax.tick_params(axis="x", length=0)
    ax.yaxis.grid(visible=True, color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)


def _draw_sizes(ax: Axes, one: SetResult) -> None:
    nights = range(1, len(one.nights) + 1)
    for peer in one.peers:
        colour, _, marker = _STYLES[peer]
        found = [one.outcomes.get((work, peer)) for work in one.night_works]
        points = [
            (night, outcome.size / 1e6)
            for night, outcome in zip(nights, found, strict=True)
            if outcome is not None
        ]
        ax.plot(
            [night for night, _ in points],
            [size for _, size in points],
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=2.2 if peer == "holdfast" else 1.3,
            label=TITLES[peer],
        )
    ax.set_xticks(list(nights), [f"night {night}" for night in nights])
    ax.set_ylim(bottom=0)
    ax.yaxis.grid(visible=True, color="#dddddd", linewidth=0.6)
