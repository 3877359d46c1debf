"""What every command gets: the settings and the output."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

import click

from holdfast_cli.options import Settings, read_settings
from holdfast_cli.output.console import Output

if TYPE_CHECKING:
    from holdfast.policy.prices import PriceTable

P = ParamSpec("P")
R = TypeVar("R")

_APP: Final = "holdfast_cli.app"


@dataclass(frozen=True, slots=True)
class App:
    """One run of the program."""

    settings: Settings
    output: Output
    prices: PriceTable | None = None
    """What requests cost; None without --meter."""

    def report_requests(self) -> None:
        """With --meter: tell what was counted, on standard error. To be called once, at the end."""
        if self.prices is None or self.settings.counter is None:
            return
        from holdfast_cli.metering import report

        report(self.settings.counter, self.prices, json=self.settings.json)


def current_app(context: click.Context) -> App:
    """Return the run's settings and output, made when the first command asks for them.

    Raises:
        ConfigurationError: global options that exclude each other or make no sense.
    """
    app = app_of(context)
    if app is None:
        settings = read_settings(context)
        output = Output(json=settings.json, quiet=settings.quiet, verbosity=settings.verbosity)
        prices = None
        if settings.meter or settings.max_requests is not None:
            # Imported here: most runs count nothing, and start-up time is in milliseconds.
            from holdfast.backends.meter import Meter

            settings = replace(settings, counter=Meter(settings.max_requests))
        if settings.meter:
            from holdfast_cli.metering import load_prices

            prices = load_prices(settings.prices)
        app = context.meta[_APP] = App(settings, output, prices)
    return app


def app_of(context: click.Context) -> App | None:
    """Return the run's `App` if a command has asked for it."""
    app = context.meta.get(_APP)
    assert app is None or isinstance(app, App)
    return app


def pass_app(function: Callable[Concatenate[App, P], R]) -> Callable[P, R]:
    """Give a command's function the `App` as its first argument."""

    @functools.wraps(function)
    def with_app(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(current_app(click.get_current_context()), *args, **kwargs)

    return with_app
