"""Whether charts can be drawn, found out without loading what draws them."""

from __future__ import annotations

import importlib.util
import os
from enum import Enum

from holdfast.errors import ConfigurationError, MissingExtraError


class ChartFormat(Enum):
    """How a chart is stored; the value is the ending of its file's name."""

    PNG = "png"
    SVG = "svg"


def chart_format(path: str) -> ChartFormat:
    """Return the format that a file's name asks for.

    Raises:
        ConfigurationError: it ends in neither .png nor .svg.
        MissingExtraError: matplotlib is not installed.
    """
    ending = os.path.splitext(path)[1].lower().removeprefix(".")
    if ending not in (each.value for each in ChartFormat):
        raise ConfigurationError(
            f"{path!r} does not say how to draw a chart", "let its name end in .png or .svg"
        )
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("`--plot`", "plot")
    return ChartFormat(ending)
