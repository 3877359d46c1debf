"""Counts a run's requests and, at its end, tells what they cost.

Nothing here is imported by runs that do not ask for it: loading it takes 40 ms, and starting the
program without it 85 ms.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Final

from holdfast.backends.meter import Meter
from holdfast.errors import ConfigurationError
from holdfast.policy.prices import PriceTable, decode_prices
from holdfast_cli.files import read_file
from holdfast_cli.output.console import format_event
from holdfast_cli.output.meter import meter_json, meter_lines
from holdfast_cli.output.streams import write_error

_DEFAULT: Final = "default_prices.toml"


def load_prices(path: str | None) -> PriceTable:
    """Read a file of prices; None means the one that comes with holdfast.

    Raises:
        ConfigurationError: it cannot be read, or is no file of prices.
    """
    if path is None:
        content, origin = resources.files("holdfast_cli").joinpath(_DEFAULT).read_bytes(), _DEFAULT
    else:
        content, origin = read_file(path, "the file of prices"), path
    try:
        document = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            f"the file of prices {origin} is not TOML ({error})", "docs/cli.md shows an example"
        ) from error
    return decode_prices(document, origin)


def report(meter: Meter, prices: PriceTable, *, json: bool) -> None:
    """Write what was counted to standard error: a table, or with `json` the event "meter"."""
    counts = {kind.value: count for kind, count in meter.counts().items()}
    if json:
        write_error(format_event("meter", meter_json(counts, prices)))
    else:
        write_error("\n".join(meter_lines(counts, prices)))
