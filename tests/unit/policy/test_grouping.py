"""Which snapshots belong together."""

from __future__ import annotations

import pytest

from holdfast.errors import ConfigurationError
from holdfast.policy.grouping import Grouping, group_snapshots, parse_grouping
from support.retention import snapshot

ALL = [
    snapshot(5, host="b", paths=[b"/x"]),
    snapshot(4, host="a", paths=[b"/x", b"/y"], tags=["p", "q"]),
    snapshot(3, host="a", paths=[b"/y", b"/x"], tags=["q", "p", "p"]),
    snapshot(2, host="a", paths=[b"/x"]),
    snapshot(1, host="b", paths=[b"/x"], tags=["p"]),
]


@pytest.mark.parametrize(
    ("text", "grouping"),
    [
        ("host,paths,tags", Grouping(hosts=True, paths=True, tags=True)),
        ("paths, host", Grouping(hosts=True, paths=True)),
        ("tag", Grouping(tags=True)),
        ("hosts,path", Grouping(hosts=True, paths=True)),
        ("", Grouping()),
        (" ", Grouping()),
    ],
)
def test_what_is_understood(text: str, grouping: Grouping) -> None:
    assert parse_grouping(text) == grouping


@pytest.mark.parametrize("text", ["hostname", "host,", ",", "host paths", "s", "Host"])
def test_what_is_not(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a way to group"):
        parse_grouping(text)


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("", {"all snapshots": [1, 2, 3, 4, 5]}),
        ("host", {"host a": [2, 3, 4], "host b": [1, 5]}),
        (
            "host,paths",
            {"host a; path /x": [2], "host a; paths /x, /y": [3, 4], "host b; path /x": [1, 5]},
        ),
        ("tags", {"no tags": [2, 5], "tag p": [1], "tags p, q": [3, 4]}),
    ],
)
def test_groups_are_ordered_by_what_they_share_and_by_time(
    text: str, groups: dict[str, list[int]]
) -> None:
    found = group_snapshots(ALL, parse_grouping(text))
    assert [str(group) for group in found] == list(groups)
    assert {str(g): [each.time_ns for each in g.snapshots] for g in found} == groups


def test_paths_that_are_no_text_can_be_shown() -> None:
    (group,) = group_snapshots([snapshot(1, paths=[b"/\xff"])], Grouping(paths=True))
    assert str(group) == r"path /\xff"
    assert group_snapshots([], Grouping()) == []
