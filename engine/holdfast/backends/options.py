"""What a caller says about a storage beside its location."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.backends.meter import Meter


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageOptions:
    """How to use a storage; the same repository may be opened with others next time."""

    scratch_directory: str | None = None
    """Where objects wait on their way to a server; None for the system's directory."""
    upload_bytes_per_s: int | None = None
    """Most bytes sent per second; None for no limit."""
    download_bytes_per_s: int | None = None
    meter: Meter | None = None
    """Counts requests; None for nobody who wants to know."""


DEFAULT_OPTIONS = StorageOptions()
