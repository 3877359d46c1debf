"""Which lifecycle rules a bucket gets: ours only, harmless ones only; and which ones harm us."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.backends.location import parse_location
from holdfast.errors import ConfigurationError
from holdfast.operations.lifecycle import (
    READABLE_CLASSES,
    LifecycleOptions,
    check_options,
    describe,
    plan_rules,
    read_plan,
)

HERE = parse_location("s3://bucket/deep/repo")
WHOLE = parse_location("s3://bucket")
TAGGED = parse_location("s3://bucket/deep/repo?tags=kind:backup")
EVERYTHING = LifecycleOptions(storage_class="GLACIER_IR", class_days=60)


def rule(**parts: Any) -> dict[str, Any]:
    return {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": ""}, **parts}


def test_the_rules_of_a_repository() -> None:
    plan = plan_rules([], HERE, EVERYTHING, has_versions=True)
    assert plan.differs
    assert plan.own == [
        {
            "ID": "holdfast-deep/repo-uploads",
            "Status": "Enabled",
            "Filter": {"Prefix": "deep/repo/"},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
        {
            "ID": "holdfast-deep/repo-versions",
            "Status": "Enabled",
            "Filter": {"Prefix": "deep/repo/"},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
        },
        {
            "ID": "holdfast-deep/repo-packs",
            "Status": "Enabled",
            "Filter": {"Prefix": "deep/repo/packs/"},
            "Transitions": [{"Days": 60, "StorageClass": "GLACIER_IR"}],
        },
    ]
    assert [list(describe(one)) for one in plan.own] == [
        ["drop uploads that were not completed after 7 days"],
        [
            "remove deleted and overwritten versions after 30 days",
            "remove delete markers that hide nothing any more",
        ],
        ["move objects to GLACIER_IR after 60 days"],
    ]


@pytest.mark.parametrize("location", [HERE, WHOLE, TAGGED])
@pytest.mark.parametrize("has_versions", [False, True])
@pytest.mark.parametrize("storage_class", ["", *READABLE_CLASSES])
def test_no_rule_of_ours_expires_what_is_there(
    location: Any, has_versions: bool, storage_class: str
) -> None:
    options = LifecycleOptions(uploads_days=1, versions_days=1, storage_class=storage_class)
    plan = plan_rules([], location, options, has_versions=has_versions)
    for one in plan.own:
        assert not one.get("Expiration", {}).keys() - {"ExpiredObjectDeleteMarker"}
    # Judged as if somebody else had made them:
    foreign = [{**one, "ID": "theirs"} for one in plan.own]
    assert read_plan(foreign, location).dangers == []


def test_rules_of_others_stay_as_they_are() -> None:
    others = [
        rule(ID="holdfast-deep/repo", Expiration={"Days": 3}, Filter={"Prefix": "logs/"}),
        rule(ID="holdfast-deep/repo2-uploads"),
        rule(ID="holdfast-deep-uploads"),
    ]
    plan = plan_rules(others, HERE, EVERYTHING, has_versions=True)
    assert plan.rules[:3] == others
    assert len(plan.rules) == 6
    again = plan_rules(plan.rules[::-1], HERE, EVERYTHING, has_versions=True)
    assert not again.differs
    changed = plan_rules(plan.rules, HERE, LifecycleOptions(), has_versions=True)
    assert changed.differs
    assert len(changed.own) == 2
    removed = plan_rules(plan.rules, HERE, None, has_versions=True)
    assert (removed.rules, removed.differs) == (others, True)
    assert not plan_rules(others, HERE, None, has_versions=True).differs


def test_two_prefixes_have_rules_of_their_own() -> None:
    texts = ["s3://bucket/a", "s3://bucket/a-uploads", "s3://bucket", "s3://bucket/" + 300 * "x"]
    texts += ["s3://bucket/" + 301 * "x", "s3://bucket/%C3%A9"]
    rules: list[Any] = []
    for text in texts:
        rules = plan_rules(rules, parse_location(text), LifecycleOptions(), has_versions=True).rules
    ids = [one["ID"] for one in rules]
    assert len(set(ids)) == 2 * len(texts)
    assert all(len(one) <= 255 and one.isascii() for one in ids)


@pytest.mark.parametrize(
    "parts",
    [
        {"Expiration": {"Days": 365}},
        {"Expiration": {"Date": "2030-01-01"}, "Filter": {"Prefix": "deep/"}},
        {"Expiration": {"Days": 1}, "Filter": {"Prefix": "deep/repo/packs/3"}},
        {"Expiration": {"Days": 1}, "Filter": {"Prefix": "deep/repo/config"}},
        {"Expiration": {"Days": 1}, "Filter": {"And": {"Prefix": "deep/repo", "Tags": []}}},
        {"Expiration": {"Days": 1}, "Filter": {"ObjectSizeGreaterThan": 5}},
        {"Expiration": {"Days": 1}, "Filter": {}, "Prefix": "dee"},
        {"Transitions": [{"Days": 1, "StorageClass": "DEEP_ARCHIVE"}]},
        {"Transitions": [{"Date": "2030-01-01", "StorageClass": "GLACIER"}]},
    ],
)
def test_rules_that_would_harm_are_found(parts: dict[str, Any]) -> None:
    one = rule(**parts)
    if "Prefix" in parts:
        del one["Filter"]
    (danger,) = read_plan([one], HERE).dangers
    assert danger.rule == "theirs"
    assert danger.problem.startswith(("it will delete objects", "it will move objects to"))
    assert read_plan([{**one, "Status": "Disabled"}], HERE).dangers == []


@pytest.mark.parametrize(
    "parts",
    [
        {"Expiration": {"Days": 1}, "Filter": {"Prefix": "deep/repo2/"}},
        {"Expiration": {"Days": 1}, "Filter": {"Prefix": "deep/repo/other/"}},
        {"Expiration": {"Days": 1}, "Filter": {"Prefix": "deep/repo/sessions/"}},
        {"Expiration": {"Days": 1}, "Filter": {"Tag": {"Key": "kind", "Value": "log"}}},
        {"Expiration": {"ExpiredObjectDeleteMarker": True}},
        {"NoncurrentVersionExpiration": {"NoncurrentDays": 1}},
        {"Transitions": [{"Days": 1, "StorageClass": "GLACIER_IR"}]},
    ],
)
def test_rules_that_do_no_harm_are_let_alone(parts: dict[str, Any]) -> None:
    assert read_plan([rule(**parts)], HERE).dangers == []


def test_a_rule_for_tags_harms_objects_that_have_them() -> None:
    tags = {"And": {"Tags": [{"Key": "kind", "Value": "backup"}]}}
    rules = [rule(Expiration={"Days": 1}, Filter=tags)]
    assert read_plan(rules, HERE).dangers == []
    assert len(read_plan(rules, TAGGED).dangers) == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("GLACIER", "cannot be read without waiting for hours"),
        ("DEEP_ARCHIVE", "cannot be read without waiting for hours"),
        ("STANDARD", "not a class that packs can move to"),
        ("glacier_ir", "not a class that packs can move to"),
    ],
)
def test_archives_and_unknown_classes_are_refused(name: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        check_options(LifecycleOptions(storage_class=name), HERE)


def test_amazon_seasons_objects() -> None:
    own = parse_location("s3://bucket/repo?endpoint=https://s3.example.org")
    early = LifecycleOptions(storage_class="STANDARD_IA", class_days=29)
    with pytest.raises(ConfigurationError, match="before 30 days"):
        check_options(early, HERE)
    check_options(early, own)
    check_options(LifecycleOptions(storage_class="STANDARD_IA", class_days=30), HERE)
    check_options(LifecycleOptions(storage_class="GLACIER_IR", class_days=1), HERE)
