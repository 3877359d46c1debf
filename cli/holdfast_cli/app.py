"""What every command gets: the settings and the output."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, Final, ParamSpec, TypeVar

import click

from holdfast_cli.options import Settings, read_settings
from holdfast_cli.output.console import Output

P = ParamSpec("P")
R = TypeVar("R")

_APP: Final = "holdfast_cli.app"


@dataclass(frozen=True, slots=True)
class App:
    """One run of the program."""

    settings: Settings
    output: Output


def current_app(context: click.Context) -> App:
    """Return the run's settings and output, made when the first command asks for them.

    Raises:
        ConfigurationError: global options that exclude each other.
    """
    app = context.meta.get(_APP)
    if app is None:
        settings = read_settings(context)
        output = Output(json=settings.json, quiet=settings.quiet, verbosity=settings.verbosity)
        app = context.meta[_APP] = App(settings, output)
    assert isinstance(app, App)
    return app


def pass_app(function: Callable[Concatenate[App, P], R]) -> Callable[P, R]:
    """Give a command's function the `App` as its first argument."""

    @functools.wraps(function)
    def with_app(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(current_app(click.get_current_context()), *args, **kwargs)

    return with_app
