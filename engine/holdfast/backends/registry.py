"""Open the backend of a location: scheme -> factory, imported on use.

A command that never touches a kind of storage never pays for importing its library.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final

from holdfast.backends.base import Backend
from holdfast.backends.location import Location, parse_location
from holdfast.errors import ConfigurationError

FACTORIES: Final = {"file": "holdfast.backends.local:open_local"}
"""Scheme -> "module:function"; the function takes the `Location` and returns the backend."""


def open_backend(location_text: str) -> Backend:
    """Return the backend of a LOCATION; it is not looked at yet.

    Raises:
        ConfigurationError: not a location, or of a kind that this version cannot open.
    """
    location = parse_location(location_text)
    target = FACTORIES.get(location.scheme)
    if target is None:
        raise ConfigurationError(
            f"this version cannot open {location.scheme}:// locations",
            "it keeps repositories in local directories: give a path or file:///path",
        )
    module, _, function = target.partition(":")
    factory: Callable[[Location], Backend] = getattr(import_module(module), function)
    return factory(location)
