"""Types of options that several commands have."""

from __future__ import annotations

from typing import Any, Final

import click

from holdfast.chunking import Cutting, parse_cutting
from holdfast.compression import MAX_LEVEL, MIN_LEVEL
from holdfast.errors import ConfigurationError
from holdfast.policy.durations import Duration, parse_duration
from holdfast.policy.prune_plan import UnusedLimit, parse_unused
from holdfast.policy.retention import UNLIMITED
from holdfast.units import parse_seconds, parse_size
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


class _Cutting(click.ParamType[Cutting]):
    """How files are cut: a profile, or a kind and a size like "gear:32K"."""

    name = "profile"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Cutting:
        """Parse it."""
        if isinstance(value, Cutting):
            return value
        try:
            return parse_cutting(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


class _Count(click.ParamType[int]):
    """How many snapshots are kept: a number, or "unlimited", which is -1."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse it."""
        if isinstance(value, int):
            return value
        if value == "unlimited":
            return UNLIMITED
        try:
            number = int(value)
        except ValueError:
            number = UNLIMITED - 1
        if number < UNLIMITED:
            self.fail(f"{value!r} is not a count; write 0 or more, or unlimited", param, ctx)
        return number


class _Duration(click.ParamType[Duration]):
    """A span of the calendar like 2y5m7d3h."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Duration:
        """Parse it."""
        if isinstance(value, Duration):
            return value
        try:
            return parse_duration(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


class _Unused(click.ParamType[UnusedLimit]):
    """How much may stay unused: 5%, 2G or unlimited."""

    name = "limit"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> UnusedLimit:
        """Parse it."""
        if isinstance(value, UnusedLimit):
            return value
        try:
            return parse_unused(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


class _Span(click.ParamType[float]):
    """A time to wait like 30m, in seconds."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse it."""
        if isinstance(value, float):
            return value
        try:
            return parse_seconds(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


SIZE: Final = _Size()
UNUSED: Final = _Unused()
SPAN: Final = _Span()
TIME: Final = _Time()
LEVEL: Final = _Level()
CUTTING: Final = _Cutting()
COUNT: Final = _Count()
DURATION: Final = _Duration()
