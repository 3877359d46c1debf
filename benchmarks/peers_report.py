r"""Write the comparison into the documentation: tables between two markers, and charts.

    python benchmarks/peers_report.py docs

`docs/benchmarks/peers.json` is what `compare_peers.py --docs docs` has measured; the block of
`docs/benchmarks.md` and `docs/benchmarks/*.svg` are made from it alone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import peers_charts
from datasets import NAMES
from report import format_report
from results import SetResult, read

BEGIN: Final = "<!-- begin: written by benchmarks/peers_report.py -->"
END: Final = "<!-- end: written by benchmarks/peers_report.py -->"

_PAGE: Final = "benchmarks.md"


def results_path(docs: Path) -> Path:
    """Return where the figures lie in a documentation's directory."""
    return docs / "benchmarks" / "peers.json"


def write_report(docs: Path) -> None:
    """Write the tables and charts of a documentation's directory.

    Raises:
        ValueError: the page has no markers.
        OSError: something cannot be read or written.
    """
    sets = sorted(read(results_path(docs)), key=_order)
    charts = peers_charts.draw(sets, docs / "benchmarks")
    images = [f"![{_alternative(path)}](benchmarks/{path.name})" for path in charts]
    block = "\n\n".join([*images, format_report(sets)])
    text = replace_block(page_text(docs), block)
    (docs / _PAGE).write_text(text, encoding="utf-8")


def page_text(docs: Path) -> str:
    """Return the page that tables go into.

    Raises:
        ValueError: it has no markers.
        OSError: it cannot be read.
    """
    text = (docs / _PAGE).read_text(encoding="utf-8")
    replace_block(text, "")
    return text


def replace_block(text: str, block: str) -> str:
    """Return a page with another block between its markers.

    Raises:
        ValueError: the page lacks a marker.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{after}"


def _order(one: SetResult) -> tuple[int, str]:
    return (NAMES.index(one.name) if one.name in NAMES else len(NAMES), one.name)


def _alternative(path: Path) -> str:
    return f"{path.stem.removeprefix('peers-')} of every program on every data set".capitalize()


def main() -> int:
    """Write the report; return the exit code."""
    parser = argparse.ArgumentParser(description="Write the comparison into the documentation.")
    parser.add_argument("docs", type=Path, help="the directory of benchmarks.md")
    docs = parser.parse_args().docs
    try:
        write_report(docs)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
