"""Comma-separated values, as spreadsheets read them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence


def csv_text(rows: Iterable[Sequence[str | int]]) -> bytes:
    """Return a CSV file as RFC 4180 says, in UTF-8; bytes of names that are not stay as they are."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")
