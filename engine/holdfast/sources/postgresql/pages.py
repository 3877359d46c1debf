"""Damaged pages of a cluster, as the server finds them while it sends a base backup.

A cluster with data checksums keeps one in each page. The server compares it for every page that it
sends, and it alone can do that right: it knows which pages are being written at that moment, reads
those again, and leaves out what is new, or newer than the backup's start, which the log brings. A
second look here would cost time on this side of the pipe, and could only be wrong where the server
is right. What the server finds comes as warnings, and in the end as a failure of pg_basebackup,
although everything was sent: the backup is kept, with one finding for each warning. The pages are
what they are; a backup that is refused would be one less, and the older ones have whole pages.

Source: PostgreSQL, doc/src/sgml/ref/pg_basebackup.sgml, "--no-verify-checksums".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from holdfast.findings import Finding

_DAMAGED: Final = "checksum error occurred"
"""The last message of pg_basebackup, whose language is ours."""
_SEVERITY: Final = re.compile(r"^(\S+):  ")
_FILE: Final = re.compile(r"(?:\./)?((?:base|global|pg_tblspc)/[\w./-]*\d)")
"""A relation's file: the server's words around it may be of any language."""
_OWN: Final = "pg_basebackup: "
_NOTICES: Final = ("NOTICE:", "INFO:", "HINT:", "pg_basebackup: ")


def only_pages_failed(messages: Iterable[str]) -> bool:
    """Tell whether pg_basebackup failed for nothing but damaged pages."""
    own = [line for line in messages if line.startswith(_OWN)]
    return bool(own) and own[-1].endswith(_DAMAGED)


def page_findings(messages: Iterable[str]) -> list[Finding]:
    """Return what the server warned of, each as a finding of the file that it names.

    Args:
        messages: lines of pg_basebackup's standard error.
    """
    findings = []
    for line in messages:
        if line.startswith(_NOTICES):
            continue
        problem = _SEVERITY.sub("", line)
        named = _FILE.search(problem)
        findings.append(Finding(named[1] if named else "data directory", problem))
    return findings
