"""Commands of the programs that are compared, and which of them are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from measure import CommandError
from peers import KINDS, Borg, Borg2, Place, Source, find_peers


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("kind", KINDS)
def test_commands_keep_to_the_place_and_know_the_source(kind: type[Borg]) -> None:
    """A program that wrote to its usual place would find caches of other runs there."""
    peer, place, source = kind(["program"]), Place(Path("/place")), Source(Path("/source"))
    commands = [
        *peer.init(place),
        peer.backup(place, source, "one"),
        peer.restore(place, source, "one", Path("/target")),
        peer.check(place),
        peer.snapshots(place),
        *peer.forget(place, source),
        peer.prune(place),
    ]
    for command in commands:
        told = [*command.arguments, *command.environment.values()]
        assert any("/place" in word for word in told)
        assert command.arguments[0] == "program"
    assert "/source" in commands[len(peer.init(place))].arguments
    restore = commands[len(peer.init(place)) + 1]
    assert "/target" in [*restore.arguments, str(restore.directory)]


def test_generations_of_borg_are_not_mistaken(tmp_path: Path) -> None:
    new = script(tmp_path / "borg", "echo borg 2.0.0b25")
    assert Borg2([new]).describe()["version"] == "2.0.0b25"
    with pytest.raises(CommandError, match="not borg 1"):
        Borg([new]).describe()


def test_missing_programs_are_told(tmp_path: Path) -> None:
    names = {kind.name: str(tmp_path / "nothing") for kind in KINDS}
    restic = script(tmp_path / "restic", "echo restic 9.9 built with care")
    found, missing = find_peers({**names, "restic": restic, "kopia": "-"})
    assert [peer.name for peer in found] == ["restic"]
    assert "kopia" not in missing
    assert {"holdfast", "borg", "borg2", "rustic"} == missing.keys()
