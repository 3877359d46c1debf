"""Cells follow content that has moved, and new content gets cells of its own."""

from __future__ import annotations

import random

import pytest

from holdfast.benchmark.alignment import Aligner, Cell, Peek

CELL = 64 << 10
STRIDE = 4 * CELL
SIZE = 40 * STRIDE
DATA = random.Random(1).randbytes(SIZE)
CELLS = [Cell(offset, number % 4) for number, offset in enumerate(range(CELL, SIZE, STRIDE))]


def peek_at(data: bytes) -> Peek:
    return lambda offset, length: data[offset : offset + length]


def align(new: bytes, old: bytes = DATA) -> list[Cell]:
    """Return the cells of `new` after `old` was read."""
    aligner = Aligner(CELL, STRIDE, 4)
    assert list(aligner.align(b"f", len(old), CELLS, peek_at(old))) == CELLS
    return list(aligner.align(b"f", len(new), CELLS, peek_at(new)))


def test_first_version_is_read_as_planned() -> None:
    assert list(Aligner(CELL, STRIDE, 4).align(b"f", SIZE, CELLS, peek_at(DATA))) == CELLS


def test_unchanged_file_keeps_its_cells() -> None:
    assert align(DATA) == CELLS


def test_other_key_knows_nothing_of_it() -> None:
    aligner = Aligner(CELL, STRIDE, 4)
    aligner.align(b"f", SIZE, CELLS, peek_at(DATA))
    moved = bytes(100_000) + DATA

    assert list(aligner.align(b"g", len(moved), CELLS, peek_at(moved))) == CELLS


@pytest.mark.parametrize("length", [1, 1000, CELL, 2 * CELL, STRIDE - 1])
def test_cells_move_with_what_is_inserted_before_them(length: int) -> None:
    found = align(random.Random(2).randbytes(length) + DATA)

    moved = [Cell(cell.offset + length, cell.group) for cell in CELLS]
    assert [cell for cell in found if cell in moved] == moved
    assert len(found) - len(moved) <= 1  # what was inserted may be read too


@pytest.mark.parametrize("length", [1, 1000, CELL])
def test_cells_move_with_what_is_deleted_before_them(length: int) -> None:
    found = align(DATA[length:])

    assert found[1:] == [Cell(cell.offset - length, cell.group) for cell in CELLS[1:]]


def test_many_small_changes_are_followed() -> None:
    """As in a dump: a row in a hundred moves to the end of its table."""
    draw = random.Random(3)
    rows = [DATA[begin : begin + 128] for begin in range(0, SIZE, 128)]
    changed = {number for number in range(len(rows)) if draw.random() < 0.01}
    stays = b"".join(row for number, row in enumerate(rows) if number not in changed)
    new = stays + draw.randbytes(128 * len(changed))

    found = align(new)

    probe = 2048
    known = [
        any(
            new[cell.offset + at : cell.offset + at + 48]
            in DATA[old.offset - probe : old.offset + CELL + probe]
            for at in range(0, CELL // 2, probe)
        )
        for cell, old in zip(found, CELLS, strict=False)
    ]
    assert sum(known) >= 0.9 * len(known)


def test_every_part_of_an_insertion_gets_its_share_of_cells() -> None:
    inserted = 7 * STRIDE
    middle = SIZE // 2 + CELL
    new = DATA[:middle] + random.Random(4).randbytes(inserted) + DATA[middle:]

    found = align(new)

    within = [cell for cell in found if middle <= cell.offset < middle + inserted]
    assert 6 <= len(within) <= 8
    assert len(found) == pytest.approx(len(new) / STRIDE, abs=1.5)


def test_what_is_appended_gets_its_share_of_cells() -> None:
    new = DATA + random.Random(5).randbytes(10 * STRIDE)

    found = align(new)

    assert found[: len(CELLS)] == CELLS
    assert len(found) == len(CELLS) + 10


def test_what_was_replaced_gets_the_cells_that_were_there() -> None:
    start, end = 10 * STRIDE, 20 * STRIDE
    new = DATA[:start] + random.Random(6).randbytes(end - start) + DATA[end:]

    found = align(new)

    assert len(found) == len(CELLS)
    assert [c for c in found if not start < c.offset < end] == [
        c for c in CELLS if not start < c.offset < end
    ]


def test_other_content_is_read_as_planned_after_a_bounded_search() -> None:
    other = random.Random(7).randbytes(SIZE)
    aligner = Aligner(CELL, STRIDE, 4)
    aligner.align(b"f", SIZE, CELLS, peek_at(DATA))
    peeked: list[int] = []

    def peek(offset: int, length: int) -> bytes:
        peeked.append(length)
        return other[offset : offset + length]

    assert list(aligner.align(b"f", SIZE, CELLS, peek)) == CELLS
    probes = [length for length in peeked if length < CELL]
    assert len(probes) <= 64


@pytest.mark.parametrize("content", [bytes(SIZE), b"row of equal text\n" * (SIZE // 18)])
def test_repeated_content_misleads_nobody(content: bytes) -> None:
    found = align(content, content)

    assert found == CELLS


def test_file_that_shrinks_while_it_is_read_is_no_error() -> None:
    aligner = Aligner(CELL, STRIDE, 4)
    aligner.align(b"f", SIZE, CELLS, peek_at(DATA))

    found = aligner.align(b"f", SIZE, CELLS, peek_at(DATA[: SIZE // 2]))

    assert list(found)[: len(CELLS) // 2] == CELLS[: len(CELLS) // 2]


def test_third_version_is_compared_with_the_second() -> None:
    aligner = Aligner(CELL, STRIDE, 4)
    versions = [DATA, bytes(1000) + DATA, bytes(3000) + DATA]

    found = [list(aligner.align(b"f", len(v), CELLS, peek_at(v))) for v in versions]

    assert found[2][-len(CELLS) :] == [Cell(cell.offset + 3000, cell.group) for cell in CELLS]


def test_error_of_the_file_is_passed_on() -> None:
    def peek(_offset: int, _length: int) -> bytes:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        Aligner(CELL, STRIDE, 4).align(b"f", SIZE, CELLS, peek)
