"""The backup programs that are compared: which there are, and which of them run here.

Compared are programs that do the same work: save versions of directories into one repository,
deduplicate across them, encrypt, restore, check by reading, and free what is forgotten. Others do other
work: bup does not encrypt, zbackup saves single streams, zpaq cannot forget a version, and duplicity
stores differences to full backups.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from measure import CommandError
from peer import Peer, Place, Source
from peers_borg import Borg, Borg2
from peers_holdfast import Holdfast
from peers_kopia import Kopia
from peers_restic import Restic, Rustic

__all__ = [
    "KINDS", "NAMES", "REFERENCE", "Borg", "Borg2", "Holdfast", "Kopia", "Peer", "Place", "Restic", "Rustic",
    "Source", "find_peers",
]  # fmt: skip

REFERENCE: Final = "restic"
"""The peer that ratios are relative to."""
KINDS: Final = (Holdfast, Restic, Rustic, Borg, Borg2, Kopia)
NAMES: Final = tuple(kind.name for kind in KINDS)


def find_peers(programs: Mapping[str, str | None]) -> tuple[list[Peer], dict[str, str]]:
    """Return the peers that run, holdfast first, and why the others do not.

    Args:
        programs: by peer, how the user wants it called: a path, or a command with arguments and
            leading NAME=VALUE settings; None to look for it; "-" to leave it out.
    """
    found: list[Peer] = []
    missing: dict[str, str] = {}
    for kind in KINDS:
        wanted = programs.get(kind.name)
        if wanted == "-":
            continue
        peer: Peer = kind(_program(kind.name, wanted))
        try:
            peer.describe()
        except CommandError as error:
            missing[kind.name] = str(error)
        else:
            found.append(peer)
    return found, missing


def _program(name: str, wanted: str | None) -> list[str]:
    if wanted is None:
        beside = Path(sys.executable).parent / name
        return [str(beside) if beside.exists() else shutil.which(name) or name]
    words = shlex.split(wanted)
    if words and "=" in words[0]:
        return ["env", *words]
    program = Path(words[0])
    # Not resolved: the interpreter of a virtual environment is found by the name it is called by.
    return [str(program.absolute()) if program.exists() else words[0], *words[1:]]
