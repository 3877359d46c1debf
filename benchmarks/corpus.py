"""Seeded data for the benchmarks: a database dump in two versions, trees of small files.

The same seed gives the same bytes on every machine. Nothing is downloaded.

The dump looks like the text that pg_dump writes: three tables in COPY format with ascending ids,
timestamps, amounts, random UUIDs and running text of a skewed vocabulary; the standard size is
400 MB and packs to less than a third under zstd level 3. Its second version is the same
database a little later, with 1 to 2 % of the rows touched, in the three ways in which databases
change: rows spread evenly over a table (balances), the newest rows (open orders), and bursts of
neighbours anywhere (batch jobs, one customer's history); and new rows at the end of each table.

    python benchmarks/corpus.py dump DIRECTORY      writes DIRECTORY/1.sql and DIRECTORY/2.sql
    python benchmarks/corpus.py tree DIRECTORY      writes DIRECTORY/1 and DIRECTORY/2
"""

from __future__ import annotations

import argparse
import datetime
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

SEED: Final = 2026
FULL_DUMP: Final = 1.0
"""Scale of a dump of about 400 MB."""

Row: TypeAlias = list[str]

_FIRST_DAY: Final = datetime.date(2023, 1, 2)
_COUNTRIES: Final = ("DE", "FR", "US", "GB", "NL", "PL", "ES", "IT", "SE", "JP", "BR", "IN")
_WORD_LENGTH: Final = 6.5
"""Mean length of a word of `Text` and the space after it."""
_ORDER_STATES: Final = ("shipped",) * 12 + ("paid", "open", "returned", "cancelled")
_CHANNELS: Final = ("email",) * 5 + ("web", "web", "phone")
_PROLOGUE: Final = """\
--
-- PostgreSQL database dump
--

SET statement_timeout = 0;
SET lock_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET check_function_bodies = false;
SET default_tablespace = '';
SET default_table_access_method = heap;

"""
_EPILOGUE: Final = """\
--
-- PostgreSQL database dump complete
--

"""


class Text:
    """Running text of made-up words, the k-th of which is 1/k as frequent as the first."""

    def __init__(self, seed: int, vocabulary: int = 12_000) -> None:
        source = random.Random(seed)
        syllables = [
            c + v + e for c in "bdfglmnprstv" for v in "aeiou" for e in ("", "n", "r", "s")
        ]
        words: dict[str, None] = {}
        while len(words) < vocabulary:
            length = 1 + int(source.random() * 1.6 + source.random() * 1.8)
            words["".join(_pick(source, syllables) for _ in range(length))] = None
        # 65536 slots, so that two random bytes choose a word by its frequency.
        share = 65_536 / sum(1 / rank for rank in range(1, vocabulary + 1))
        self._slots: list[str] = []
        due = 0.0
        for rank, word in enumerate(words, start=1):
            due += share / rank
            self._slots.extend([word] * (round(due) - len(self._slots)))
        self._slots.extend([word] * (65_536 - len(self._slots)))
        self._phrases = [self.words(source, 4 + int(source.random() * 8)) for _ in range(2000)]

    def words(self, source: random.Random, count: int) -> str:
        """Return `count` words, separated by spaces."""
        slots = self._slots
        chosen = struct.unpack(
            f"<{count}H", source.getrandbits(16 * count).to_bytes(2 * count, "little")
        )
        return " ".join([slots[number] for number in chosen])

    def prose(self, source: random.Random, length: int) -> str:
        """Return at least `length` characters: stock phrases and, a third of it, free text."""
        pieces: list[str] = []
        size = 0
        while size < length:
            free = source.random() < 0.3
            pieces.append(self.words(source, 8) if free else _pick(source, self._phrases))
            size += len(pieces[-1]) + 1
        return " ".join(pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of the dump and how its rows come to be and change."""

    name: str
    columns: tuple[str, ...]
    count: int
    """Rows of the first version."""
    make: Callable[[random.Random, Text, int, int], Row]
    """Source, vocabulary, row number, moment in microseconds -> a row."""
    change: Callable[[random.Random, Text, Row, str], None]
    """Source, vocabulary, row, time stamp: updates the row as an application would."""
    spread: float = 0.0
    """Share of rows that change, spread evenly."""
    newest: float = 0.0
    """Share of the table that counts as its newest rows, a fifth of which change."""
    bursts: int = 0
    """Runs of 10 to 600 neighbours, half of which change; one in ten is deleted."""
    added: float = 0.004
    """Share of rows that are new in the second version."""


def write_dump(path: Path, *, version: int, scale: float = FULL_DUMP, seed: int = SEED) -> None:
    """Write one version of the dump.

    Args:
        path: the file, replaced if it is there.
        version: 1, or 2 for the same database with changes.
        scale: size in parts of 400 MB.
        seed: two calls that differ in nothing else write two unrelated databases.

    Cost: about 50 s per 400 MB.
    """
    text = Text(seed)
    with open(path, "w", encoding="ascii", newline="\n", buffering=1 << 20) as file:
        file.write(_PROLOGUE)
        for number, table in enumerate(_tables(scale)):
            file.write(
                f"--\n-- Data for Name: {table.name}; Type: TABLE DATA; Schema: public\n--\n\n"
            )
            file.write(f"COPY public.{table.name} ({', '.join(table.columns)}) FROM stdin;\n")
            rows = _rows(table, text, seed=seed * 10 + number, version=version)
            file.writelines("\t".join(row) + "\n" for row in rows)
            file.write("\\.\n\n\n")
        file.write(_EPILOGUE)


def write_tree(
    root: Path,
    *,
    count: int,
    version: int = 1,
    length: int = 4000,
    crowd: int = 0,
    seed: int = SEED,
) -> None:
    """Write a tree of text files, 250 in a directory.

    Args:
        root: the directory, which must not exist.
        count: how many files the first version has.
        version: 1, or 2 for the same tree with 2 % of the files changed, removed or added.
        length: mean bytes of a file; the lengths lie between nothing and twice this.
        crowd: how many of the files lie in one directory of their own.
        seed: two calls that differ in nothing else write unrelated trees.

    Cost: about 50 us a file.
    """
    source = random.Random(seed)
    text = Text(seed)
    for number in range(count + (count // 200 if version == 2 else 0)):
        if number < crowd:
            directory = root / "crowd"
        else:
            group = (number - crowd) // 250
            directory = root / f"{group // 64:03d}" / f"{group % 64:02d}"
        if number == 0 or (number - crowd) % 250 == 0:
            directory.mkdir(parents=True, exist_ok=True)
        body = text.words(source, int(source.random() * 2 * length / _WORD_LENGTH))
        fate = source.random()
        if version == 2 and fate < 0.004:
            continue
        edition = version if fate < 0.016 or number >= count else 1
        content = f"file {number}, edition {edition}\n{body}\n"
        with open(directory / f"{number:07d}.txt", "wb", buffering=0) as file:
            file.write(content.encode("ascii"))


def text_rows(length: int, *, seed: int = SEED) -> bytes:
    """Return about `length` bytes of dump rows, for benchmarks in memory."""
    text = Text(seed)
    table = _tables(FULL_DUMP)[-1]
    pieces: list[bytes] = []
    size = 0
    for row in _rows(table, text, seed=seed, version=1):
        pieces.append(("\t".join(row) + "\n").encode("ascii"))
        size += len(pieces[-1])
        if size >= length:
            break
    return b"".join(pieces)


def _pick(source: random.Random, choices: list[str] | tuple[str, ...]) -> str:
    return choices[int(source.random() * len(choices))]


def _uuid(source: random.Random) -> str:
    digits = f"{source.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{digits[16:20]}-{digits[20:]}"


_days: dict[int, str] = {}


def _time_stamp(moment_us: int) -> str:
    seconds, fraction = divmod(moment_us, 1_000_000)
    day, second = divmod(seconds, 86_400)
    date = _days.get(day)
    if date is None:
        date = _days[day] = (_FIRST_DAY + datetime.timedelta(days=day)).isoformat()
    return (
        f"{date} {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.{fraction:06d}+00"
    )


def _rows(table: Table, text: Text, *, seed: int, version: int) -> Iterator[Row]:
    """Iterate over a table's rows; the sources of rows and of changes are independent."""
    source, changes = random.Random(seed), random.Random(-seed - 1)
    touched = _touched(table, changes) if version == 2 else {}
    step_us = 60_000_000 * 1_000_000 // table.count
    moment_us = 0
    later = _time_stamp(60_000_000 * 1_000_000 + 3_600_000_000)
    added = int(table.count * table.added) if version == 2 else 0
    for number in range(table.count + added):
        moment_us += int(source.random() * 2 * step_us)
        row = table.make(source, text, number, moment_us)
        kept = touched.get(number)
        if kept is None:
            yield row
        elif kept:
            table.change(changes, text, row, later)
            yield row


def _touched(table: Table, source: random.Random) -> dict[int, bool]:
    """Return the rows that change (True) or are deleted (False)."""
    count = table.count
    touched = {int(source.random() * count): True for _ in range(int(count * table.spread))}
    newest = int(count * table.newest)
    touched.update((count - newest + k, True) for k in range(newest) if source.random() < 0.2)
    for _ in range(table.bursts):
        begin = int(source.random() * count)
        deleted = source.random() < 0.1
        for number in range(begin, min(count, begin + 10 + int(source.random() * 590))):
            if source.random() < 0.5:
                touched[number] = not deleted
    return touched


def _make_account(source: random.Random, text: Text, number: int, moment_us: int) -> Row:
    first, last = text.words(source, 2).split(" ")
    return [
        str(number + 1),
        _uuid(source),
        f"{first}.{last}{int(source.random() * 1000)}@{_pick(source, _MAIL_HOSTS)}",
        f"{first.capitalize()} {last.capitalize()}",
        _pick(source, _COUNTRIES),
        f"{source.random() ** 3 * 5000:.2f}",
        "active" if source.random() < 0.93 else "closed",
        _time_stamp(moment_us),
        _time_stamp(moment_us + int(source.random() * 1e12)),
    ]


_MAIL_HOSTS: Final = ("example.com", "example.org", "example.net", "mail.example", "post.example")


def _change_account(source: random.Random, _text: Text, row: Row, later: str) -> None:
    row[5] = f"{source.random() ** 3 * 5000:.2f}"
    row[8] = later


def _make_order(source: random.Random, text: Text, number: int, moment_us: int) -> Row:
    quantity = 1 + int(source.random() ** 4 * 12)
    price = 100 + int(source.random() ** 2 * 20_000)
    state = _pick(source, _ORDER_STATES)
    shipped = _time_stamp(moment_us + int(source.random() * 3e11)) if state == "shipped" else "\\N"
    return [
        str(number + 1),
        str(1 + int(source.random() ** 2 * 240_000)),
        _uuid(source) if source.random() < 0.25 else "\\N",
        f"SKU-{int(source.random() ** 3 * 9000):06d}",
        str(quantity),
        f"{price / 100:.2f}",
        f"{quantity * price / 100:.2f}",
        "EUR" if source.random() < 0.8 else "USD",
        state,
        _time_stamp(moment_us // 1_000_000 * 1_000_000),
        shipped[:19] + "+00" if state == "shipped" else shipped,
        text.words(source, 3) if source.random() < 0.2 else "",
    ]


def _change_order(source: random.Random, text: Text, row: Row, later: str) -> None:
    row[8] = "shipped" if row[8] in ("paid", "open") else "returned"
    row[10] = later[:19] + "+00"
    if source.random() < 0.2:
        row[11] = text.words(source, 3)


def _make_message(source: random.Random, text: Text, number: int, moment_us: int) -> Row:
    return [
        str(number + 1),
        str(1 + int(source.random() ** 2 * 240_000)),
        str(1 + number * 2 + int(source.random() * 500)) if source.random() < 0.6 else "\\N",
        _time_stamp(moment_us),
        _pick(source, _CHANNELS),
        "t" if source.random() < 0.9 else "f",
        text.words(source, 4).capitalize(),
        text.prose(source, 20 + int(source.random() ** 2 * 600)).capitalize() + ".",
    ]


def _change_message(source: random.Random, text: Text, row: Row, later: str) -> None:
    row[5] = "f" if row[5] == "t" else "t"
    if source.random() < 0.3:
        row[7] += f"\\n\\nEdited {later[:16]}: {text.words(source, 6)}."


def _tables(scale: float) -> tuple[Table, ...]:
    def bursts(count: int) -> int:
        return max(1, int(count * scale))

    return (
        Table(
            name="accounts",
            columns=(
                "id", "public_id", "email", "full_name", "country", "balance", "status",
                "created_at", "updated_at",
            ),
            count=max(50, int(240_000 * scale)),
            make=_make_account,
            change=_change_account,
            spread=0.04,
        ),
        Table(
            name="orders",
            columns=(
                "id", "account_id", "payment_id", "sku", "quantity", "unit_price", "total",
                "currency", "status", "placed_at", "shipped_at", "note",
            ),
            count=max(100, int(1_400_000 * scale)),
            make=_make_order,
            change=_change_order,
            newest=0.06,
            bursts=bursts(28),
        ),
        Table(
            name="messages",
            columns=(
                "id", "account_id", "order_id", "created_at", "channel", "is_read", "subject",
                "body",
            ),
            count=max(100, int(610_000 * scale)),
            make=_make_message,
            change=_change_message,
            bursts=bursts(22),
        ),
    )  # fmt: skip


def main() -> None:
    """Write both versions of a dump or of a tree."""
    parser = argparse.ArgumentParser(description="Write seeded data for the benchmarks.")
    parser.add_argument("kind", choices=("dump", "tree"))
    parser.add_argument("directory", type=Path)
    parser.add_argument(
        "--scale", type=float, default=FULL_DUMP, help="1 is 400 MB or 80,000 files"
    )
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    for version in (1, 2):
        if options.kind == "dump":
            path = options.directory / f"{version}.sql"
            write_dump(path, version=version, scale=options.scale, seed=options.seed)
        else:
            count = max(100, int(80_000 * options.scale))
            path = options.directory / str(version)
            write_tree(path, count=count, version=version, seed=options.seed)
        print(path)


if __name__ == "__main__":
    main()
