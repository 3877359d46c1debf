"""The config: sizes and suites that are possible, and no others."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import FormatError
from holdfast.format.config import (
    MAX_PACK_SIZE,
    MAX_SLICE_SIZE,
    MIN_PACK_SIZE,
    MIN_SLICE_SIZE,
    Config,
    check_config,
    decode_config,
    encode_config,
)


@given(
    st.builds(
        Config,
        created_ns=st.integers(0, 2**63),
        pack_size=st.integers(MAX_SLICE_SIZE, MAX_PACK_SIZE),
        slice_size=st.integers(MIN_SLICE_SIZE, MAX_SLICE_SIZE),
        tree_slice_size=st.integers(MIN_SLICE_SIZE, MAX_SLICE_SIZE),
        suite=st.sampled_from((1, 2)),
        program_version=st.text(),
        exclusive_create=st.booleans(),
    )
)
def test_round_trip(config: Config) -> None:
    assert check_config(config) == ""
    assert decode_config(encode_config(config)) == config


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"slice_size": MIN_SLICE_SIZE - 1}, "slice size"),
        ({"slice_size": MAX_SLICE_SIZE + 1}, "slice size"),
        ({"tree_slice_size": 0}, "slice size"),
        ({"pack_size": MIN_PACK_SIZE - 1}, "pack size"),
        ({"pack_size": MAX_PACK_SIZE + 1}, "pack size"),
        ({"pack_size": 1 << 20, "slice_size": 2 << 20}, "pack size"),
        ({"suite": 0}, "suite"),
        ({"suite": 3}, "suite"),
        ({"pack_size": -1}, "pack size"),
    ],
)
def test_impossible_configs_are_refused(change: dict[str, int], reason: str) -> None:
    config = Config(created_ns=0, **change)  # type: ignore[arg-type]
    assert reason in check_config(config)
    with pytest.raises(FormatError, match=reason):
        decode_config(encode_config(config))


@pytest.mark.parametrize("body", [b"", b"\x90", b"\xc1", b"\x91\xa1x", b"\x91\xa2\xff\xff"])
def test_other_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(FormatError):
        decode_config(body)


def test_fields_of_later_versions_are_passed_over() -> None:
    config = Config(created_ns=5)
    stored = msgspec.msgpack.decode(encode_config(config))
    assert decode_config(msgspec.msgpack.encode([*stored, "later"])) == config
    assert decode_config(msgspec.msgpack.encode([5])) == config
