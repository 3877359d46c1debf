r"""Nightly backups of a changing PostgreSQL database, beside restic on the same machine.

    python benchmarks/databases.py --restic /usr/bin/restic --work-dir /dev/shm/db

A server of its own is filled by `postgres/seed.sql`; between two nights `postgres/change.sql` updates
1.4 % of the rows at random. Each night both programs save the same database twice: as a dump
(`backup-db` against restic reading the output of pg_dump), and as a base backup (`backup-db --method
physical` against restic on the files of pg_basebackup, whose making is not counted).

How fast the tools are alone is measured too: nobody can be faster than they are.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from measure import Command, commit, extent, machine, run
from peers import Holdfast, Place, Restic, Source
from postgres_server import NAME, PORT, Server, server

_HERE: Final = Path(__file__).parent


def seconds(command: Command) -> float:
    """Run a command, drop its output, and return its wall time; large outputs touch no disk."""
    os.sync()
    begin = time.perf_counter()
    environment = {**os.environ, **command.environment}  # noqa: TID251 - as `measure.run` does
    subprocess.run(command.arguments, check=True, env=environment, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def night(here: Server, ours: Holdfast, theirs: Restic, root: Path) -> dict[str, float]:
    """Save everything once; return seconds, and sizes in bytes."""
    figures: dict[str, float] = {}
    dump = here.tool("pg_dump", NAME)
    figures["dump, bytes"] = int(subprocess.run(
        ["sh", "-c", '"$@" | wc -c', "sh", *dump.arguments], check=True, capture_output=True
    ).stdout)  # fmt: skip
    figures["pg_dump alone, s"] = seconds(dump)
    at = ("--db-host", str(here.directory), "--db-port", PORT, "--db-user", here.user)
    tools = ("--tools", str(here.bin))
    words = ("backup-db", "postgresql", *at, *tools)
    place = Place(root / "holdfast-dumps")
    command = _own(ours, place, *words, NAME)
    figures["holdfast dump, s"] = run(command).wall_s
    figures["holdfast dumps, bytes"] = extent(place.repository)[1]
    place = Place(root / "restic-dumps")
    command = _own(theirs, place, "backup", "--stdin-from-command", "--", *dump.arguments)
    figures["restic dump, s"] = run(command).wall_s
    figures["restic dumps, bytes"] = extent(place.repository)[1]

    base = root / "base"
    run(here.tool("pg_basebackup", "-c", "fast", "-X", "fetch", "-D", str(base)))
    figures["base, bytes"] = extent(base)[1]
    tar = ("-c", "fast", "-X", "fetch", "-F", "t", "-D", "-")
    figures["pg_basebackup alone, s"] = seconds(here.tool("pg_basebackup", *tar))
    place = Place(root / "holdfast-bases")
    command = _own(ours, place, *words, "--method", "physical")
    figures["holdfast base, s"] = run(command).wall_s
    figures["holdfast bases, bytes"] = extent(place.repository)[1]
    place = Place(root / "restic-bases")
    figures["restic base, s"] = run(theirs.backup(place, Source(base), "base")).wall_s
    figures["restic bases, bytes"] = extent(place.repository)[1]
    shutil.rmtree(base)
    return figures


def _own(peer: Holdfast | Restic, place: Place, *words: str) -> Command:
    """Return a command of a program on its repository."""
    base = peer.snapshots(place)
    own = [word for word in base.arguments if word != "snapshots"]
    return Command(arguments=(*own, *words), environment=base.environment)


def show(nights: list[dict[str, float]]) -> None:
    """Print a table for a document."""
    rows: list[str] = []
    print("| | " + " | ".join(f"night {number}" for number in range(1, len(nights) + 1)) + " |")
    print("|---|" + "--:|" * len(nights))
    for name in nights[0]:
        is_size = "bytes" in name
        values = [n[name] / 1e6 if is_size else n[name] for n in nights]
        title = name.replace(", bytes", ", MB")
        rows.append(f"| {title} | " + " | ".join(f"{value:,.2f}" for value in values) + " |")
    for what in ("dump", "base"):
        for unit, ours, theirs in (
            ("size", f"holdfast {what}s, bytes", f"restic {what}s, bytes"),
            ("time", f"holdfast {what}, s", f"restic {what}, s"),
        ):
            ratios = [n[ours] / n[theirs] for n in nights]
            shown = " | ".join(f"{ratio:.2f}" for ratio in ratios)
            rows.append(f"| {what}s, {unit} relative to restic | {shown} |")
        speeds = [n[f"{what}, bytes"] / n[f"holdfast {what}, s"] / 1e6 for n in nights]
        rows.append(f"| {what}s, MB/s | " + " | ".join(f"{v:,.0f}" for v in speeds) + " |")
    print("\n".join(rows))


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--holdfast", default=f"{sys.executable} -m holdfast_cli")
    parser.add_argument("--restic", required=True, help="its program")
    parser.add_argument("--nights", type=int, default=3)
    parser.add_argument("--work-dir", type=Path, help="made, and removed")
    parser.add_argument("--output", type=Path, help="write the figures as JSON to this file too")
    given = parser.parse_args()
    root = given.work_dir or Path(tempfile.mkdtemp())
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)
    ours, theirs = Holdfast(given.holdfast.split()), Restic([given.restic])
    nights: list[dict[str, float]] = []
    try:
        for name in ("holdfast-dumps", "holdfast-bases", "restic-dumps", "restic-bases"):
            place = Place(root / name)
            place.root.mkdir(parents=True)
            for command in (ours if name.startswith("holdfast") else theirs).init(place):
                run(command)
        with server(root / "server") as here:
            here.fill()
            for number in range(1, given.nights + 1):
                if number > 1:
                    here.change(number)
                nights.append(night(here, ours, theirs, root))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    facts: dict[str, Any] = {"machine": machine(), "commit": commit(_HERE), "nights": nights}
    facts["holdfast"], facts["restic"] = ours.describe(), theirs.describe()
    show(nights)
    if given.output:
        given.output.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
