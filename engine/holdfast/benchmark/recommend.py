"""Which setting to use: the smallest in the storage, unless what it saves is not worth its price. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from typing import Final

from holdfast.benchmark.report import Recommendation, Setting
from holdfast.chunking.cutting import Cutting
from holdfast.chunking.params import Profile
from holdfast.compression import DEFAULT_LEVEL
from holdfast.format.config import DEFAULT_SLICE_SIZE
from holdfast.units import format_size

_WORTH: Final = 1.03
"""A step away from the defaults must save this factor, and so must half the speed."""
_FROM_DEFAULT: Final = {profile.value: 1 for profile in Profile} | {Profile.FILES.value: 0}
_NO_PROFILE: Final = 2
"""Steps: a profile has been tried by others, a size of chunks of one's own has not."""


def recommend(
    settings: Sequence[Setting], logical: int, currency: str, *, is_exact: bool
) -> Recommendation | None:
    """Return the setting to use.

    The index on the client counts like stored bytes: so chunks do not become smaller and smaller.

    Args:
        settings: to choose from; whole files are not a way that `backup` cuts.
        logical: bytes of all data.
        currency: of the prices.
        is_exact: whether everything was read.

    Returns:
        None if there are no data or nothing to choose from.
    """
    usable = [one for one in settings if isinstance(one.candidate, Cutting)]
    if not usable or logical == 0:
        return None
    best = min(usable, key=_burden)
    words = _words(best)
    about = "" if is_exact else "about "
    place = ""
    if best.slice_size != DEFAULT_SLICE_SIZE:
        place = f" in a repository of `init --slice-size {format_option(best.slice_size)}`"
    ratio = best.total_ratio.value
    saved = f"{ratio:.1f} x less" if ratio >= 1 else "more than they are"
    sentence = (
        f"Use `backup {' '.join(words)}`{place}: {format_size(logical)} of data need {about}"
        f"{format_size(best.stored_bytes.value)} ({saved}), "
        f"{_format_price(best.price_month)} {currency} a month."
    )
    return Recommendation(setting=best, sentence=sentence, options=words)


def _burden(setting: Setting) -> float:
    """Return bytes that a setting costs, and more for each step from the defaults."""
    steps = float(_FROM_DEFAULT.get(setting.candidate.name, _NO_PROFILE))
    steps += setting.slice_size != DEFAULT_SLICE_SIZE
    steps += setting.level != DEFAULT_LEVEL
    if setting.mb_s > 0:
        steps -= log2(setting.mb_s)
    return (setting.stored_bytes.value + setting.index_bytes) * float(_WORTH**steps)


def _format_price(price: float) -> str:
    return f"{price:,.2f}" if price >= 0.01 or price == 0 else "less than 0.01"


def _words(setting: Setting) -> tuple[str, ...]:
    """Return the options of `backup`."""
    return ("--profile", setting.candidate.name, "--compression", str(setting.level))


def format_option(size: int) -> str:
    """Return a size as options take it: "4M", "256K", "1000"."""
    for shift, unit in ((20, "M"), (10, "K")):
        if size % (1 << shift) == 0:
            return f"{size >> shift}{unit}"
    return str(size)
