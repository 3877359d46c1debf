"""`holdfast lifecycle`: have the bucket tidy up after itself."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Final

import click
from click.core import ParameterSource

from holdfast.backends.location import Location, parse_location
from holdfast.errors import ConfigurationError
from holdfast.operations.lifecycle import (
    READABLE_CLASSES,
    LifecycleOptions,
    LifecyclePlan,
    check_options,
    describe,
    plan_rules,
    read_plan,
)
from holdfast_cli.app import App, pass_app
from holdfast_cli.opening import storage_options
from holdfast_cli.output.names import count

_HELP: Final = f"""Show or set the rules by which a bucket tidies up.

Without --set and --remove the rules for this repository are shown. --set drops uploads that were
never completed and, where the bucket keeps versions, removes what has been deleted or overwritten
for long; with --class it moves packs to a cheaper class that can be read at once:
{", ".join(READABLE_CLASSES)}. Rules of others stay, and no rule of ours ever deletes an object
that is there. No password is needed.

Rules of others that would delete or archive objects of the repository are reported.

\b
Examples:
  holdfast lifecycle
  holdfast lifecycle --set
  holdfast lifecycle --set --class GLACIER_IR --class-after 60 --dry-run
"""
_MOST_DAYS: Final = 36_500
_DAYS: Final = click.IntRange(1, _MOST_DAYS)
_FOR_SET: Final = ("uploads_after", "versions_after", "class", "class_after")


@click.command("lifecycle", help=_HELP)
@click.option("--set", "is_set", is_flag=True, help="Set the rules for this repository.")
@click.option("--remove", is_flag=True, help="Remove the rules for this repository.")
@click.option(
    "--uploads-after",
    type=_DAYS,
    default=7,
    show_default=True,
    metavar="DAYS",
    help="Drop uploads that were not completed by then.",
)
@click.option(
    "--versions-after",
    type=_DAYS,
    default=30,
    show_default=True,
    metavar="DAYS",
    help="Remove versions that were deleted or overwritten so long ago.",
)
@click.option("--class", "class", default="", metavar="CLASS", help="Move packs to this class.")
@click.option(
    "--class-after",
    type=_DAYS,
    default=30,
    show_default=True,
    metavar="DAYS",
    help="Move them at this age.",
)
@click.option("--dry-run", "-n", is_flag=True, help="Only show what the rules would be.")
@pass_app
def command(app: App, /, *, is_set: bool, remove: bool, dry_run: bool, **given: Any) -> None:
    """Read the rules, change them on request, and show what they are then."""
    location = _location(app)
    if is_set and remove:
        raise ConfigurationError("--set and --remove exclude each other", "give only one of them")
    _check_usage(is_set=is_set)
    options = LifecycleOptions(
        uploads_days=given["uploads_after"],
        versions_days=given["versions_after"],
        storage_class=given["class"],
        class_days=given["class_after"],
    )
    check_options(options, location)
    from holdfast.backends.s3_client import open_s3_client
    from holdfast.backends.s3_lifecycle import S3Lifecycle

    client = open_s3_client(location, storage_options(app.settings, location.text))
    with closing(S3Lifecycle(client)) as bucket:
        existing = bucket.rules()
        if is_set or remove:
            plan = plan_rules(
                existing,
                location,
                options if is_set else None,
                has_versions=bucket.has_versions(),
            )
            if plan.differs and not dry_run:
                bucket.replace(plan.rules)
        else:
            plan = read_plan(existing, location)
    _show(app, location, plan, dry_run=dry_run)


def _location(app: App) -> Location:
    text = app.settings.repository
    if text is None:
        raise ConfigurationError(
            "no repository was named", "give one with -r LOCATION or in HOLDFAST_REPOSITORY"
        )
    location = parse_location(text)
    if location.scheme != "s3":
        raise ConfigurationError(
            f"{text} is not in S3, and only buckets have lifecycle rules",
            "holdfast cleans up by itself there",
        )
    return location


def _check_usage(*, is_set: bool) -> None:
    """Refuse options that would have no effect."""
    context = click.get_current_context()
    for name in () if is_set else _FOR_SET:
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            option = f"--{name.replace('_', '-')}"
            raise ConfigurationError(f"{option} says what to set", "give --set too")


def _show(app: App, location: Location, plan: LifecyclePlan, *, dry_run: bool) -> None:
    if app.output.json:
        app.output.document(
            {
                "location": location.text,
                "rules": [
                    {"id": rule.get("ID"), "does": list(describe(rule))} for rule in plan.own
                ],
                "other_rules": len(plan.foreign),
                "dangers": [{"rule": one.rule, "problem": one.problem} for one in plan.dangers],
                "changed": plan.differs,
                "dry_run": dry_run,
            }
        )
        return
    for rule in plan.own:
        app.output.line(f"{rule.get('ID')}: {'; '.join(describe(rule))}")
    if not plan.own:
        app.output.line(f"no rules for {location.text}; `holdfast lifecycle --set` makes them")
    if plan.foreign:
        app.output.line(f"{count(len(plan.foreign), 'rule')} of others in the bucket")
    if plan.differs:
        app.output.summary("this would be changed" if dry_run else "changed")
    for one in plan.dangers:
        app.output.warn(
            f"the rule {one.rule!r} of this bucket concerns the repository too, and {one.problem}; "
            "exclude the repository's prefix from it, or snapshots will be lost"
        )
