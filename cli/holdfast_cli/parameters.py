"""Types of options that several commands have."""

from __future__ import annotations

from typing import Any, Final

import click

from holdfast.compression import MAX_LEVEL, MIN_LEVEL
from holdfast.errors import ConfigurationError
from holdfast.units import parse_size
from holdfast_cli.times import parse_time


class _Size(click.ParamType[int]):
    """A size like 512M, in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse it."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


class _Time(click.ParamType[int]):
    """A moment, in nanoseconds since 1970 UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse it."""
        if isinstance(value, int):
            return value
        try:
            return parse_time(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


class _Level(click.ParamType[int | None]):
    """A compression level of zstd, or "off": None."""

    name = "level"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """Parse it."""
        if isinstance(value, int):
            return value
        if value == "off":
            return None
        try:
            level = int(value)
        except ValueError:
            level = MAX_LEVEL + 1
        if not MIN_LEVEL <= level <= MAX_LEVEL:
            self.fail(
                f"{value!r} is not a level; write a number from {MIN_LEVEL} to {MAX_LEVEL}, or off",
                param,
                ctx,
            )
        return level


SIZE: Final = _Size()
TIME: Final = _Time()
LEVEL: Final = _Level()
