"""Hypothesis strategies for what is stored."""

from __future__ import annotations

from hypothesis import strategies as st

from holdfast.format.node import Node, NodeExtra

U63 = st.integers(0, 2**63 - 1)
TIMES = st.integers(-(2**63), 2**63 - 1)
NAMES = st.binary(min_size=1, max_size=255).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
CONTENTS = st.lists(st.binary(min_size=32, max_size=32), max_size=4).map(b"".join)
XATTRS = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=40)), max_size=3).map(tuple)

EXTRAS = st.builds(
    NodeExtra,
    flags=st.integers(0, 255),
    link_count=st.integers(1, 2**32),
    rdev=U63,
    target=st.binary(max_size=100),
    xattrs=XATTRS,
    holes=st.lists(U63, max_size=6).map(tuple),
    atime_ns=st.none() | TIMES,
    depth=st.integers(0, 4),
)


@st.composite
def pages(draw: st.DrawFn, max_size: int = 20) -> list[Node]:
    """Nodes of one page: unique names in ascending order."""
    names = sorted(draw(st.sets(NAMES, max_size=max_size)))
    small = st.integers(0, 2**32 - 1)
    return [
        Node(
            name,
            draw(st.integers(1, 7)),
            draw(st.integers(0, 0o7777)),
            draw(small),
            draw(small),
            draw(U63),
            draw(TIMES),
            draw(TIMES),
            draw(U63),
            draw(U63),
            draw(CONTENTS),
            draw(st.none() | EXTRAS),
        )
        for name in names
    ]
