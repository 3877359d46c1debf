"""One call to restore from a `DictSource`."""

from __future__ import annotations

import os
from typing import Any

from holdfast.clock import SystemClock
from holdfast.format.node import Node
from holdfast.operations.restore import RestoreOptions, RestoreResult, restore
from holdfast.progress import NullProgress
from support.trees import DictSource, hash_data


def run_restore(
    source: DictSource, node: Node, target: object, *, path: bytes = b"/", **options: Any
) -> RestoreResult:
    """Restore a node into `target`."""
    return restore(
        source,
        node,
        RestoreOptions(target=os.fsencode(str(target)), **options),
        path=path,
        hash_data=hash_data,
        clock=SystemClock(),
        progress=NullProgress(),
    )


def problems(result: RestoreResult) -> dict[str, str]:
    """The findings by path."""
    return {finding.path: finding.problem for finding in result.findings}
