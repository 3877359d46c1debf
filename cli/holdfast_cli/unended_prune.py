"""What people are told where a prune stands still that nobody but the maintainer can end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.repository.repository import Repository
from holdfast_cli.app import App


@contextmanager
def telling_of_unended_prune(app: App, repository: Repository) -> Iterator[None]:
    """Tell at the end, also after an error, if the SEAL of a prune was waited for in vain."""
    try:
        yield
    finally:
        if repository.settler.has_given_up:
            maintainer = repository.config.maintainer
            app.output.warn(
                f"a prune has not ended, and on this storage only {maintainer} can end it: run "
                "`holdfast prune` there. Until then each backup waits half a minute for it, and "
                "tags and forgotten snapshots may have to wait too; nothing is lost"
            )
