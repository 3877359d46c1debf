"""What requests to a storage cost by a table of prices. Pure.

A table is a TOML file that a person writes from a provider's price list; docs/cli.md describes
it. All prices are in the table's currency, for bytes per GiB (2**30), as AWS counts its "GB".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date as Date  # noqa: N812 - "date" is a field here
from typing import Any, Final, Protocol

from holdfast.errors import ConfigurationError

KINDS: Final = ("put", "get", "head", "list", "delete", "other")
"""Kinds of requests; a test compares them with `backends.meter.RequestKind`."""
_GIB: Final = 1 << 30
_TEXTS: Final = ("provider", "currency")
_BYTES: Final = ("sent", "received", "stored_month")
_HINT: Final = "docs/cli.md describes files of prices"


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTable:
    """Prices of one provider; 0 is free."""

    provider: str
    """Whose prices they are: provider, storage class and region, for people."""
    date: Date
    """When they were looked up."""
    currency: str
    per_1000_requests: Mapping[str, float] = field(default_factory=dict)
    """Kind -> price of 1,000 requests."""
    sent: float = 0.0
    """Of a GiB sent to the storage."""
    received: float = 0.0
    """Of a GiB received from it."""
    stored_month: float = 0.0
    """Of a GiB that is kept for a month."""


class Counted(Protocol):
    """Requests of one kind, as a meter counts them."""

    @property
    def requests(self) -> int:
        """How many were made."""

    @property
    def bytes_sent(self) -> int:
        """Bytes of their bodies."""

    @property
    def bytes_received(self) -> int:
        """Bytes of the answers' bodies."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What counted requests cost, in the currency of the table."""

    by_kind: Mapping[str, float]
    """Kind -> price of its requests and of the bytes that they moved."""
    total: float
    """Sum of `by_kind`: what has to be paid once."""
    per_month: float
    """What keeping the bytes sent costs each month; not in `total`."""


def estimate(counts: Mapping[str, Counted], table: PriceTable) -> Estimate:
    """Return what requests cost; free tiers, discounts and taxes are not known.

    Args:
        counts: kind -> what was counted.
        table: the prices.
    """
    by_kind = {
        kind: counted.requests / 1000 * table.per_1000_requests.get(kind, 0.0)
        + counted.bytes_sent / _GIB * table.sent
        + counted.bytes_received / _GIB * table.received
        for kind, counted in counts.items()
    }
    sent = sum(counted.bytes_sent for counted in counts.values())
    return Estimate(by_kind, math.fsum(by_kind.values()), sent / _GIB * table.stored_month)


def decode_prices(document: Mapping[str, Any], origin: str) -> PriceTable:
    """Return the table that a TOML document means.

    Args:
        document: as `tomllib` returns it.
        origin: name of the file, for messages.

    Raises:
        ConfigurationError: something is missing, unknown, or no price.
    """
    _check_keys(document, (*_TEXTS, "date", "per_1000_requests", "per_gib"), "", origin)
    texts = {}
    for key in _TEXTS:
        text = document.get(key)
        if not isinstance(text, str) or not text.strip():
            raise ConfigurationError(f'{key} must be a text in {origin}, like {key} = "…"', _HINT)
        texts[key] = text
    date = document.get("date")
    if type(date) is not Date:  # a time of day is a subclass
        raise ConfigurationError(f"date must be a day in {origin}, like date = 2026-01-31", _HINT)
    of_bytes = _prices(document, "per_gib", _BYTES, origin)
    return PriceTable(
        provider=texts["provider"],
        date=date,
        currency=texts["currency"],
        per_1000_requests=_prices(document, "per_1000_requests", KINDS, origin),
        sent=of_bytes["sent"],
        received=of_bytes["received"],
        stored_month=of_bytes["stored_month"],
    )


def _prices(
    document: Mapping[str, Any], section: str, keys: tuple[str, ...], origin: str
) -> dict[str, float]:
    """Return the prices of a section; what it leaves out is free."""
    values = document.get(section, {})
    if not isinstance(values, dict):
        raise ConfigurationError(f"{section} must be a section [{section}] in {origin}", _HINT)
    _check_keys(values, keys, f"{section}.", origin)
    for key, value in values.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value < 0:
            raise ConfigurationError(
                f"the price {section}.{key} in {origin} is not a number from 0 on", _HINT
            )
    return {key: float(values.get(key, 0)) for key in keys}


def _check_keys(
    values: Mapping[str, Any], known: tuple[str, ...], prefix: str, origin: str
) -> None:
    for key in values:
        if key not in known:
            raise ConfigurationError(
                f"unknown key {prefix}{key} in {origin}", f"it knows {', '.join(known)}"
            )
