"""What requests cost, as a table for people or as JSON. Pure."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

from holdfast.policy.prices import Counted, PriceTable, estimate
from holdfast.units import format_size
from holdfast_cli.output.names import printable
from holdfast_cli.output.tables import Column, Table

_DIGITS: Final = 9
"""Most digits of a price after the point: a request costs 4e-7 USD."""
_WORTH_TELLING: Final = 0.01
"""Costs of a month below this are in JSON only."""


def meter_lines(counts: Mapping[str, Counted], prices: PriceTable) -> list[str]:
    """Return the lines of the table; kinds of which there were no requests are left out."""
    total = sum(counted.requests for counted in counts.values())
    if total == 0:
        return ["no requests to the storage"]
    cost = estimate(counts, prices)
    digits = digits_for(cost.total)
    table = Table(
        (
            Column("Requests"),
            Column("Number", "right"),
            Column("Sent", "right"),
            Column("Received", "right"),
            Column(printable(prices.currency), "right"),
        )
    )
    for kind, counted in counts.items():
        if counted.requests:
            table.add(
                kind,
                str(counted.requests),
                format_size(counted.bytes_sent),
                format_size(counted.bytes_received),
                f"{cost.by_kind[kind]:.{digits}f}",
            )
    table.add(
        "total",
        str(total),
        format_size(sum(counted.bytes_sent for counted in counts.values())),
        format_size(sum(counted.bytes_received for counted in counts.values())),
        f"{cost.total:.{digits}f}",
    )
    text = io.StringIO()
    table.write(text)
    basis = f"estimated by prices of {prices.provider}, {prices.date.isoformat()}"
    if cost.per_month >= _WORTH_TELLING:
        basis += f"; keeping what was sent costs {cost.per_month:.2f} {prices.currency} a month"
    return [*text.getvalue().splitlines(), printable(basis)]


def meter_json(counts: Mapping[str, Counted], prices: PriceTable) -> dict[str, Any]:
    """Return the stable keys of the event "meter"; every kind is there."""
    cost = estimate(counts, prices)
    return {
        "requests": sum(counted.requests for counted in counts.values()),
        "bytes_sent": sum(counted.bytes_sent for counted in counts.values()),
        "bytes_received": sum(counted.bytes_received for counted in counts.values()),
        "kinds": {
            kind: {
                "requests": counted.requests,
                "bytes_sent": counted.bytes_sent,
                "bytes_received": counted.bytes_received,
                "price": round(cost.by_kind[kind], _DIGITS),
            }
            for kind, counted in counts.items()
        },
        "price": round(cost.total, _DIGITS),
        "price_per_month": round(cost.per_month, _DIGITS),
        "currency": prices.currency,
        "provider": prices.provider,
        "prices_date": prices.date.isoformat(),
    }


def digits_for(price: float) -> int:
    """Return how many digits after the point show two of a price that are not zeros."""
    digits = 2
    while digits < _DIGITS and 0 < price * 10 ** (digits - 1) < 1:
        digits += 1
    return digits
