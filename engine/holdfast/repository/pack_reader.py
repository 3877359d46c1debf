"""Packs opened for reading: their header, where their slices begin, and the slices' bytes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from holdfast.errors import IntegrityError, NotFoundError
from holdfast.format.pack import PACK_HEADER_LENGTH, BlobKind, PackHeader, open_header
from holdfast.ids import BlobId
from holdfast.repository.layout import pack_name
from holdfast.repository.pack_table import PackTable
from holdfast.repository.repository import Repository

_KEPT_PACKS: Final = 512


@dataclass(frozen=True, slots=True)
class OpenPack:
    """A pack ready for reading."""

    name: str
    header: PackHeader
    table: PackTable
    starts: list[int]
    """Where each slice begins in the object, and the end of the last one."""

    def sealed_size(self, first: int, end: int) -> int:
        """Return the stored bytes of slices [first, end), as far as there are such."""
        last = len(self.starts) - 1
        return self.starts[min(end, last)] - self.starts[min(first, last)]

    def require_kind(self, kind: BlobKind, blob_id: BlobId) -> None:
        """Check that this is a pack for blobs like this one.

        Raises:
            IntegrityError: it is for the other kind.
        """
        if kind != self.header.kind:
            raise IntegrityError("blob", blob_id.hex(), "it lies in a pack of another kind")


class PackReader:
    """Opens packs of a repository and reads their slices.

    Opening is for one thread, reading slices for many.

    Args:
        repository: whose index is loaded.
        believe_cache: read tree packs on this machine's disk where they are kept there; a copy
            may be sound while the pack is not.
    """

    def __init__(self, repository: Repository, *, believe_cache: bool) -> None:
        self._repository = repository
        self._trees = repository.trees if believe_cache else None
        self._packs: OrderedDict[int, OpenPack] = OrderedDict()

    def clear(self) -> None:
        """Forget what is open: numbers of packs mean others now."""
        self._packs.clear()

    def open(self, number: int) -> OpenPack:
        """Return a pack by its number in the index.

        Raises:
            IntegrityError: its header is not of this repository.
        """
        pack = self._packs.get(number)
        if pack is None:
            repository = self._repository
            table = repository.index.pack(number)
            header = open_header(
                table.header, repository.keys.data_key_wrap, repository.repository_id, table.pack_id
            )
            starts = list(accumulate(table.slice_sizes, initial=PACK_HEADER_LENGTH))
            pack = OpenPack(pack_name(table.pack_id), header, table, starts)
            self._packs[number] = pack
            if len(self._packs) > _KEPT_PACKS:
                self._packs.popitem(last=False)
        return pack

    def read_sealed(self, pack: OpenPack, first: int, end: int) -> bytes:
        """Read the sealed bytes of slices [first, end) by one ranged read.

        Raises:
            IntegrityError: the pack is missing, or has no such slices.
        """
        if end >= len(pack.starts):
            reason = "a blob lies past its pack's end"
            raise IntegrityError("index object", pack.table.pack_id, reason)
        start, stop = pack.starts[first], pack.starts[end]
        is_tree = pack.header.kind == BlobKind.TREE
        storage = self._trees if is_tree and self._trees else self._repository.backend
        try:
            return storage.read_range(pack.name, start, stop - start)
        except NotFoundError as error:
            raise IntegrityError("pack", pack.table.pack_id, "it is missing") from error
