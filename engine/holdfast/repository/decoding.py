"""From sealed slices to verified blobs: the part of reading that runs in threads.

Pure: no I/O and no shared state.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.errors import HashMismatchError, IntegrityError
from holdfast.format.pack import PackHeader, open_slice_into
from holdfast.hashing import Bytes, KeyedHash
from holdfast.ids import BlobId

Place = tuple[int, int, BlobId]
"""(offset in the pack's plaintext, length, id) of a blob."""
Decoded = tuple[BlobId, memoryview | IntegrityError]


def slices_of(blobs: Sequence[Place], slice_size: int) -> tuple[int, int]:
    """Return the first slice and the end of the slices that hold blobs in ascending order."""
    first = blobs[0][0] // slice_size
    last_offset, last_length, _ = blobs[-1]
    return first, max(first + 1, -(-(last_offset + last_length) // slice_size))


def decode_blobs(
    header: PackHeader,
    starts: Sequence[int],
    data: Bytes,
    blobs: Sequence[Place],
    hash_blob: KeyedHash,
    buffer: bytearray,
) -> list[Decoded]:
    """Decode and verify neighbouring blobs.

    Slices are unpacked one behind the other into the buffer, so that a blob is one view of it
    however many slices it crosses. A damaged slice costs the blobs in it and no other.

    Args:
        header: of the pack.
        starts: where each slice begins in the pack, and the end of the last one.
        data: sealed bytes of exactly the slices that `slices_of(blobs)` names; may be cut off.
        blobs: in ascending order of offset; at least one.
        hash_blob: names blobs of this kind.
        buffer: not used if the slices need more.

    Returns:
        Each blob with its bytes, a view of the buffer, or its error.

    Cost: that of zstd and 5 us a blob; releases the GIL for most of it.
    """
    size = header.slice_size
    first, end = slices_of(blobs, size)
    needed = (end - first) * size
    plain = memoryview(buffer if len(buffer) >= needed else bytearray(needed))
    sealed = memoryview(data)
    base, last = starts[first], len(starts) - 2
    damage: dict[int, IntegrityError] = {}
    for index in range(first, end):
        box = sealed[starts[index] - base : starts[index + 1] - base]
        at = (index - first) * size
        try:
            open_slice_into(header, index, box, plain[at : at + size], last=index == last)
        except IntegrityError as error:
            damage[index] = error
    origin = first * size
    results: list[Decoded] = []
    for offset, length, blob_id in blobs:
        if damage and (problem := _first_damage(damage, offset, length, size)) is not None:
            results.append((blob_id, problem))
            continue
        blob = plain[offset - origin : offset - origin + length]
        if hash_blob(blob) == blob_id:
            results.append((blob_id, blob))
        else:
            mismatch = HashMismatchError("blob", blob_id.hex(), f"in pack {header.pack_id}")
            results.append((blob_id, mismatch))
    return results


def _first_damage(
    damage: dict[int, IntegrityError], offset: int, length: int, size: int
) -> IntegrityError | None:
    for index in range(offset // size, max(offset // size + 1, -(-(offset + length) // size))):
        if index in damage:
            return damage[index]
    return None
