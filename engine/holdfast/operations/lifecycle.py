"""Rules of a bucket's lifecycle that suit a repository: which to set, and which are dangerous.

Pure: rules come and go as the plain structures of S3's API. Ours are told by their ids, which
name the repository's prefix; all others are somebody's and stay as they are. No rule of ours ever
deletes an object that can be read by its name.

Source: "Managing the lifecycle of objects" in the Amazon S3 User Guide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from holdfast.backends.location import Location
from holdfast.errors import ConfigurationError
from holdfast.format.config import CONFIG_NAME
from holdfast.repository import layout

Rule: TypeAlias = Mapping[str, Any]

READABLE_CLASSES: Final = ("STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR")
"""Cheaper classes whose objects can be read at any moment."""
_ARCHIVES: Final = ("GLACIER", "DEEP_ARCHIVE")
_SEASONED: Final = ("STANDARD_IA", "ONEZONE_IA")
"""Classes that Amazon moves objects to no earlier than `_SEASONED_DAYS` after their creation."""
_SEASONED_DAYS: Final = 30
_LONGEST_ID: Final = 255
_NAMES: Final = (
    *(CONFIG_NAME, layout.KEYS, layout.PACKS, layout.INDEX, layout.SNAPSHOTS),
    *(layout.FORGETS, layout.GC, layout.COPIES, layout.LOGS),
)
"""What the names of objects begin with that a repository rests on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleOptions:
    """What the rules of a repository do."""

    uploads_days: int = 7
    """Age at which uploads in parts that nobody completed are dropped."""
    versions_days: int = 30
    """Age at which versions go that were deleted or overwritten, counted from then on; only where
    the bucket keeps versions."""
    storage_class: str = ""
    """That packs move to; empty for none."""
    class_days: int = 30
    """Age at which they do."""


@dataclass(frozen=True, slots=True)
class Danger:
    """A rule of somebody else that a repository would suffer from."""

    rule: str
    """Its id."""
    problem: str


@dataclass(slots=True)
class LifecyclePlan:
    """What the bucket's rules are to be."""

    own: list[Rule]
    """Rules for this repository."""
    foreign: list[Rule]
    """All others, which stay."""
    dangers: list[Danger] = field(default_factory=list)
    differs: bool = False
    """Whether the bucket's rules have to be written."""

    @property
    def rules(self) -> list[Rule]:
        """All of them."""
        return [*self.foreign, *self.own]


def check_options(options: LifecycleOptions, location: Location) -> None:
    """Refuse what would harm, or what the provider refuses with less clear words.

    Raises:
        ConfigurationError: as said.
    """
    wanted = options.storage_class
    if wanted in _ARCHIVES:
        raise ConfigurationError(
            f"objects in {wanted} cannot be read without waiting for hours, and backup and prune "
            "read packs at any time",
            f"choose {', '.join(READABLE_CLASSES)}",
        )
    if wanted and wanted not in READABLE_CLASSES:
        hint = f"choose {', '.join(READABLE_CLASSES)}"
        raise ConfigurationError(f"{wanted!r} is not a class that packs can move to", hint)
    if wanted in _SEASONED and not location.endpoint and options.class_days < _SEASONED_DAYS:
        raise ConfigurationError(
            f"Amazon S3 moves nothing to {wanted} before {_SEASONED_DAYS} days",
            f"choose {_SEASONED_DAYS} days or more, or class={wanted} in the location",
        )


def read_plan(existing: Sequence[Rule], location: Location) -> LifecyclePlan:
    """Tell the rules of a bucket apart, as they are."""
    ids = set(_ids(location.path).values())
    own = [rule for rule in existing if rule.get("ID") in ids]
    foreign = [rule for rule in existing if rule.get("ID") not in ids]
    return LifecyclePlan(own, foreign, list(_dangers(foreign, location)))


def plan_rules(
    existing: Sequence[Rule],
    location: Location,
    options: LifecycleOptions | None,
    *,
    has_versions: bool,
) -> LifecyclePlan:
    """Return what a bucket's rules are to be.

    Args:
        existing: all rules of the bucket.
        location: of the repository.
        options: of its rules; None for no rules.
        has_versions: whether the bucket keeps versions, or did.
    """
    plan = read_plan(existing, location)
    before = plan.own
    plan.own = [] if options is None else list(_own_rules(location, options, has_versions))
    plan.differs = _normal(before) != _normal(plan.own)
    return plan


def describe(rule: Rule) -> Iterator[str]:
    """Say what a rule does, one clause for each of its actions."""
    if days := rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation"):
        yield f"drop uploads that were not completed after {_days(days)}"
    if days := rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"):
        yield f"remove deleted and overwritten versions after {_days(days)}"
    expiration = rule.get("Expiration", {})
    if expiration.get("ExpiredObjectDeleteMarker"):
        yield "remove delete markers that hide nothing any more"
    if days := expiration.get("Days"):
        yield f"delete objects after {_days(days)}"
    elif date := expiration.get("Date"):
        yield f"delete objects on {str(date)[:10]}"
    for transition in _transitions(rule):
        when = transition.get("Days")
        after = f"after {_days(when)}" if when is not None else f"on {str(transition['Date'])[:10]}"
        yield f"move objects to {transition.get('StorageClass')} {after}"


def _own_rules(
    location: Location, options: LifecycleOptions, has_versions: bool
) -> Iterator[dict[str, Any]]:
    ids, prefix = _ids(location.path), _prefix(location.path)
    yield {
        "ID": ids["uploads"],
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": options.uploads_days},
    }
    if has_versions:
        yield {
            "ID": ids["versions"],
            "Status": "Enabled",
            "Filter": {"Prefix": prefix},
            "NoncurrentVersionExpiration": {"NoncurrentDays": options.versions_days},
            # Takes away markers that stand alone: it has no days and touches no object.
            "Expiration": {"ExpiredObjectDeleteMarker": True},
        }
    if options.storage_class:
        yield {
            "ID": ids["packs"],
            "Status": "Enabled",
            "Filter": {"Prefix": prefix + layout.PACKS},
            "Transitions": [{"Days": options.class_days, "StorageClass": options.storage_class}],
        }


def _dangers(rules: Sequence[Rule], location: Location) -> Iterator[Danger]:
    for rule in rules:
        if rule.get("Status") == "Enabled" and _concerns(rule, location):
            name = str(rule.get("ID", ""))
            expiration = rule.get("Expiration", {})
            if expiration.get("Days") or expiration.get("Date"):
                yield Danger(name, f"it will {next(describe({'Expiration': expiration}))}")
            for transition in _transitions(rule):
                if transition.get("StorageClass") in _ARCHIVES:
                    told = next(describe({"Transitions": [transition]}))
                    yield Danger(name, f"it will {told}, where they cannot be read at once")


def _concerns(rule: Rule, location: Location) -> bool:
    """Tell whether a rule may fit objects that the repository rests on.

    Conditions about sizes are taken as fulfilled.
    """
    filter_: Mapping[str, Any] = rule.get("Filter", {})
    both: Mapping[str, Any] = filter_.get("And", {})
    tags = [*both.get("Tags", ()), *([filter_["Tag"]] if "Tag" in filter_ else ())]
    if any((tag["Key"], tag["Value"]) not in location.tags for tag in tags):
        return False
    wanted = str(filter_.get("Prefix") or both.get("Prefix") or rule.get("Prefix") or "")
    keys = [_prefix(location.path) + name for name in _NAMES]
    return any(key.startswith(wanted) or wanted.startswith(key) for key in keys)


def _transitions(rule: Rule) -> Collection[Mapping[str, Any]]:
    found: Collection[Mapping[str, Any]] = rule.get("Transitions", ())
    return found


def _ids(path: str) -> dict[str, str]:
    """Return the ids of our rules by what they are about; they differ for every two prefixes."""
    kinds = ("uploads", "versions", "packs")
    longest = _LONGEST_ID - len("holdfast--versions")
    if len(path.encode()) > longest or not path.isascii():
        path = hashlib.sha256(path.encode()).hexdigest()
    return {kind: f"holdfast-{path}-{kind}" for kind in kinds}


def _prefix(path: str) -> str:
    return f"{path}/" if path else ""


def _normal(rules: Sequence[Rule]) -> dict[str, Any]:
    return {str(rule.get("ID")): dict(rule) for rule in rules}


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number} days"
