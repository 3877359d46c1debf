"""Copy lists: the packs that a copy to a mirror is about to store under their own names.

Names are never used again. A pack that was doomed and deleted here must not come back under its
name, since a deletion that arrives late would hit it. So a copy names its packs in a copy list
before it creates them, and no pack is created that any other list names. Lists stay for ever.

Source: docs/format.md#copy-lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from holdfast.errors import FormatError
from holdfast.ids import ObjectId

_ID_LENGTH = 16
_INSTANCE_LENGTHS = (0, 16)


class _Group(msgspec.Struct, array_like=True, frozen=True):
    """Packs that one repository wrote."""

    instance: bytes
    packs: bytes


class CopyList(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """One copy list. Fields are only ever added at the end, each with a default."""

    time_ns: int
    host: str
    """Where the copy ran; for people, like the time."""
    groups: tuple[_Group, ...]

    @property
    def packs(self) -> dict[ObjectId, bytes]:
        """Pack -> instance of the repository that wrote it; empty bytes for the first one."""
        return {
            ObjectId(group.packs[at : at + _ID_LENGTH].hex()): group.instance
            for group in self.groups
            for at in range(0, len(group.packs), _ID_LENGTH)
        }


def make_copy_list(packs: Mapping[ObjectId, bytes], *, time_ns: int, host: str) -> CopyList:
    """Return the list of some packs.

    Args:
        packs: pack -> instance of the repository that wrote it.
        time_ns: now.
        host: where this runs.
    """
    groups = tuple(
        _Group(instance, _join(one for one in packs if packs[one] == instance))
        for instance in sorted(set(packs.values()))
    )
    return CopyList(time_ns=time_ns, host=host, groups=groups)


def encode_copy_list(copy_list: CopyList) -> bytes:
    """Encode the body of a copy list."""
    return msgspec.msgpack.encode(copy_list)


def decode_copy_list(body: bytes, name: str) -> CopyList:
    """Decode and validate the body of a copy list.

    Raises:
        FormatError: it is none.
    """
    try:
        found = msgspec.msgpack.decode(body, type=CopyList)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError("copy list", name, str(error)) from error
    for group in found.groups:
        if len(group.packs) % _ID_LENGTH or len(group.instance) not in _INSTANCE_LENGTHS:
            raise FormatError("copy list", name, "an id is cut off")
    return found


def _join(packs: Iterable[ObjectId]) -> bytes:
    return b"".join(map(bytes.fromhex, sorted(packs)))
