"""What requests cost, and what a file of prices may hold."""

from __future__ import annotations

import datetime
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.backends.meter import Count, RequestKind
from holdfast.errors import ConfigurationError
from holdfast.policy.prices import KINDS, PriceTable, decode_prices, estimate

GIB = 1 << 30
DAY = datetime.date(2026, 1, 31)
WHOLE = """
provider = "Example, cold"
date = 2026-01-31
currency = "EUR"
[per_1000_requests]
put = 0.01
get = 1
list = 0.005
[per_gib]
sent = 0.02
received = 0.1
stored_month = 0.004
"""
TABLE = PriceTable(
    provider="Example, cold",
    date=DAY,
    currency="EUR",
    per_1000_requests={
        "put": 0.01, "get": 1.0, "head": 0.0, "list": 0.005, "delete": 0.0, "other": 0.0,
    },
    sent=0.02,
    received=0.1,
    stored_month=0.004,
)  # fmt: skip


def decode(text: str) -> PriceTable:
    return decode_prices(tomllib.loads(text), "prices.toml")


def test_every_kind_of_request_has_a_price() -> None:
    assert list(KINDS) == [kind.value for kind in RequestKind]


def test_a_table_holds_what_the_file_says_and_the_rest_is_free() -> None:
    assert decode(WHOLE) == TABLE


def test_an_estimate_adds_requests_and_bytes_by_kind() -> None:
    counts = {
        "put": Count(2000, 10 * GIB, 0),
        "get": Count(500, 0, 3 * GIB),
        "list": Count(1, 0, 0),
        "delete": Count(10_000, 0, 0),
    }
    cost = estimate(counts, TABLE)
    assert cost.by_kind == pytest.approx(
        {"put": 0.02 + 0.2, "get": 0.5 + 0.3, "list": 0.000005, "delete": 0.0}
    )
    assert cost.total == pytest.approx(1.020005)
    assert cost.per_month == pytest.approx(0.04)


def test_nothing_costs_nothing() -> None:
    cost = estimate({kind: Count() for kind in KINDS}, TABLE)
    assert (cost.total, cost.per_month) == (0, 0)


COUNTS = st.builds(Count, *[st.integers(0, 10**9)] * 3)


@given(st.dictionaries(st.sampled_from(KINDS), st.tuples(COUNTS, COUNTS)))
def test_the_price_of_two_runs_is_the_sum_of_their_prices(
    runs: dict[str, tuple[Count, Count]],
) -> None:
    first, second = ({kind: pair[at] for kind, pair in runs.items()} for at in (0, 1))
    both = {
        kind: Count(
            one.requests + other.requests,
            one.bytes_sent + other.bytes_sent,
            one.bytes_received + other.bytes_received,
        )
        for kind, (one, other) in runs.items()
    }
    total = estimate(first, TABLE).total + estimate(second, TABLE).total
    assert estimate(both, TABLE).total == pytest.approx(total)


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("put = 0.01", "putt = 0.01", "unknown key per_1000_requests.putt in prices.toml; it knows"),
        ("sent =", "send =", "unknown key per_gib.send in prices.toml; it knows sent, received"),
        ("currency", "curency", "unknown key curency in prices.toml"),
        ("[per_gib]", "[per_gb]", "unknown key per_gb in prices.toml"),
        ("put = 0.01", "put = -0.01", "per_1000_requests.put in prices.toml is not a number from 0"),
        ("put = 0.01", 'put = "0.01"', "per_1000_requests.put in prices.toml is not a number"),
        ("put = 0.01", "put = true", "per_1000_requests.put in prices.toml is not a number"),
        ("put = 0.01", "put = nan", "per_1000_requests.put in prices.toml is not a number"),
        ("sent = 0.02", "sent = inf", "per_gib.sent in prices.toml is not a number"),
        ("sent = 0.02", "sent = [1]", "per_gib.sent in prices.toml is not a number"),
        ('"EUR"', "7", "currency must be a text in prices.toml"),
        ('"Example, cold"', '" "', "provider must be a text in prices.toml"),
        ("2026-01-31", '"2026-01-31"', "date must be a day in prices.toml"),
        ("2026-01-31", "2026-01-31T00:00:00", "date must be a day in prices.toml"),
        ("date = 2026-01-31", "", "date must be a day in prices.toml"),
        ('currency = "EUR"', "", "currency must be a text in prices.toml"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_sentence(before: str, after: str, complaint: str) -> None:
    assert WHOLE.count(before) == 1
    with pytest.raises(ConfigurationError) as caught:
        decode(WHOLE.replace(before, after))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("section", ["per_gib", "per_1000_requests"])
def test_a_section_must_be_one(section: str) -> None:
    document: dict[str, Any] = {"provider": "x", "date": DAY, "currency": "USD", section: 3}
    with pytest.raises(ConfigurationError, match=rf"{section} must be a section \[{section}\]"):
        decode_prices(document, "prices.toml")
