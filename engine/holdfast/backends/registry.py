"""Open the backend of a location: scheme -> factory, imported on use.

A command that never touches a kind of storage never pays for importing its library.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final

from holdfast.backends.base import Backend
from holdfast.backends.limits import LimitedBackend
from holdfast.backends.location import Location, parse_location
from holdfast.backends.meter import MeteredBackend
from holdfast.backends.options import DEFAULT_OPTIONS, StorageOptions
from holdfast.backends.throttle import Throttle
from holdfast.clock import SystemClock

FACTORIES: Final = {
    "file": "holdfast.backends.local:open_local",
    "s3": "holdfast.backends.s3:open_s3",
}
"""Scheme -> "module:function"; it takes `Location` and `StorageOptions`, returns the backend."""
_WITHOUT_REQUESTS: Final = frozenset({"file"})
"""Schemes whose backends neither count requests nor limit bytes by themselves."""


def open_backend(location_text: str, options: StorageOptions = DEFAULT_OPTIONS) -> Backend:
    """Return the backend of a LOCATION; it is not looked at yet.

    Raises:
        ConfigurationError: not a location, or an option of it makes no sense.
    """
    location = parse_location(location_text)
    module, _, function = FACTORIES[location.scheme].partition(":")
    factory: Callable[[Location, StorageOptions], Backend]
    factory = getattr(import_module(module), function)
    backend = factory(location, options)
    return _wrap(backend, options) if location.scheme in _WITHOUT_REQUESTS else backend


def _wrap(backend: Backend, options: StorageOptions) -> Backend:
    """Limit and count what a storage moves that does neither itself."""
    upload, download = options.upload_bytes_per_s, options.download_bytes_per_s
    if upload is not None or download is not None:
        clock = SystemClock()
        backend = LimitedBackend(
            backend,
            Throttle(upload, clock=clock) if upload is not None else None,
            Throttle(download, clock=clock) if download is not None else None,
        )
    if options.meter is not None:  # outside: pieces of one object are one request
        backend = MeteredBackend(backend, options.meter)
    return backend
