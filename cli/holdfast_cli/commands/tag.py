"""`holdfast tag`: change the tags of snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from holdfast.errors import ConfigurationError
from holdfast.operations.snapshots import tag_snapshots
from holdfast.policy.selection import SnapshotFilter
from holdfast_cli.app import App, pass_app
from holdfast_cli.opening import open_repository
from holdfast_cli.output.names import short_id
from holdfast_cli.snapshot_options import EVERYTHING, choose, filter_options, split_tags
from holdfast_cli.unended_prune import telling_of_unended_prune

_HELP: Final = """Change the tags of snapshots.

Snapshots never change: each one gets a successor with other tags and the same files, and is
forgotten itself, so its id changes. Name the snapshots, or choose them by --host, --path, --tag.

\b
Examples:
  holdfast tag --add keep latest
  holdfast tag --remove daily --add weekly 3f2a 77c0
  holdfast tag --set archive --host old-server
"""


@click.command("tag", help=_HELP)
@click.argument("names", nargs=-1, metavar="[SNAPSHOT]…")
@click.option("--add", "added", multiple=True, metavar="TAG", help="Add a tag; may be repeated.")
@click.option(
    "--remove", "removed", multiple=True, metavar="TAG", help="Remove a tag; may be repeated."
)
@click.option(
    "--set",
    "replaced",
    multiple=True,
    metavar="TAG",
    help="Replace all tags; may be repeated, '' leaves none.",
)
@filter_options
@click.option("--dry-run", "-n", is_flag=True, help="Only show what would change.")
@pass_app
def command(
    app: App,
    names: Sequence[str],
    added: Sequence[str],
    removed: Sequence[str],
    replaced: Sequence[str],
    wanted: SnapshotFilter,
    *,
    dry_run: bool,
) -> None:
    """Give each chosen snapshot a successor with other tags."""
    if not names and wanted == EVERYTHING:
        raise ConfigurationError("no snapshot was named", "name some, or use --host, --path, --tag")
    with (
        open_repository(app.settings) as repository,
        telling_of_unended_prune(app, repository),
    ):
        changes = tag_snapshots(
            repository,
            choose(repository.snapshots(), names, wanted),
            add=split_tags(added),
            remove=split_tags(removed),
            set_to=split_tags(replaced) if replaced else None,
            dry_run=dry_run,
        )
    if app.output.json:
        changed = [
            {"old": change.old_id, "new": change.new_id, "tags": list(change.tags)}
            for change in changes
        ]
        app.output.document({"changed": changed, "dry_run": dry_run})
        return
    for change in changes:
        tags = ", ".join(change.tags) or "no tags"
        successor = (
            "would get" if change.new_id is None else f"is now {short_id(change.new_id)} with"
        )
        app.output.summary(f"{short_id(change.old_id)} {successor} {tags}")
    if not changes:
        app.output.summary("nothing to change")
