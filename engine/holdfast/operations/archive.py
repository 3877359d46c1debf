"""Writing a directory of a snapshot, or one entry, as a tar or zip archive.

The archive is a stream of bytes in the order of the tree. What the repository cannot deliver is
never silently missing:

- A file of up to 8 MiB that cannot be read is left out.
- A longer file has begun when the damage is seen. It keeps its length, and what is damaged is
  zeros. In a zip archive it gets a wrong checksum too, so that unpacking it fails.
- Each is a finding; and the last file of the archive, `DAMAGE_NAME`, lists them for whoever has
  nothing but the archive.

What a format cannot hold (sockets in both, fifos and devices in zip) is left out and a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Final

from holdfast.errors import IntegrityError
from holdfast.findings import Finding
from holdfast.format.node import Node, NodeType
from holdfast.format.snapshot import Snapshot
from holdfast.fs.source import display
from holdfast.operations.archive_formats import ArchiveFormat, ArchiveKind, new_format
from holdfast.operations.archive_windows import Part, Window, piece, read_windows
from holdfast.repository.reader import BlobSource

__all__ = ["DAMAGE_NAME", "Archive", "ArchiveKind", "ArchiveResult"]

DAMAGE_NAME: Final = b"HOLDFAST-DAMAGE.txt"
_DAMAGE_TITLE: Final = "The repository could not deliver everything; run `holdfast check`.\n\n"
_FLUSH: Final = 1 << 20
_FILE: Final = NodeType.FILE.value


@dataclass(slots=True)
class ArchiveResult:
    """What is in the archive; counts grow while it is written."""

    files: int = 0
    """Without further names of hard links, where they are links."""
    directories: int = 0
    others: int = 0
    """Symbolic links, fifos and devices."""
    links: int = 0
    """Further names of hard-linked files."""
    skipped: int = 0
    """Entries that the format cannot hold."""
    damaged: int = 0
    """Files and pages of directories that the repository could not deliver."""
    content_bytes: int = 0
    """Bytes of the files, with holes."""
    findings: list[Finding] = field(default_factory=list)
    """With absolute paths in the snapshot."""


@dataclass(slots=True)
class _LongFile:
    """A file whose content is being written."""

    position: int = 0
    damaged_bytes: int = 0
    damaged_at: int = 0
    error: IntegrityError | None = None
    """The first one."""

    def note(self, error: IntegrityError, length: int) -> None:
        """Note that so many bytes from here on are damaged."""
        if self.error is None:
            self.error, self.damaged_at = error, self.position
        self.damaged_bytes += length


class Archive:
    """One archive, to be written once.

    Args:
        source: where pages and blobs come from; nobody else may use it meanwhile.
        snapshot: names of users and groups, and the time of the list of damage.
        node: what to write, from `tree_walk.find_node`. Of a nameless directory the entries stand
            at the top of the archive, any other node stands there itself.
        path: the node's absolute path in the snapshot.
        kind: the format.
        on_finding: called for each finding, by the thread that takes the bytes.
    """

    def __init__(
        self,
        source: BlobSource,
        snapshot: Snapshot,
        node: Node,
        *,
        path: bytes = b"/",
        kind: ArchiveKind,
        on_finding: Callable[[Finding], None] | None = None,
    ) -> None:
        self.result = ArchiveResult()
        self.current = path
        """What is being written."""
        self._source = source
        self._snapshot = snapshot
        self._node = node
        self._path = b"/" + path.strip(b"/")
        self._on_finding = on_finding
        self._form: ArchiveFormat = new_format(kind, snapshot)
        self._cut = len(self._path) - len(node.name) if node.name else 1
        self._damage: list[str] = []
        self._damage_name = DAMAGE_NAME
        self._left_out: set[bytes] = set()
        """Paths of damaged files with further names."""
        self._long: _LongFile | None = None

    def stream(self) -> Generator[bytes, None, None]:
        """Yield the bytes of the archive in pieces of a MiB or some more; to be called once.

        Raises:
            BackendError: the storage failed; the archive is incomplete then.

        Memory: 170 MB with the reader's, whatever the size of the snapshot; in a zip archive 40
        bytes an entry more. Cost: that of `fetch`, and 40 us an entry; a zip archive is deflated
        at 75 MB/s a core.
        """
        form = self._form
        try:
            for window in read_windows(
                self._source, self._node, self._path, with_links=form.has_links
            ):
                for part in window.parts:
                    self._add(window, part)
                    if form.ready >= _FLUSH:
                        yield form.take()
            self._add_list_of_damage()
            form.finish()
            yield form.take()
        finally:
            form.close()

    def _add(self, window: Window, part: Part) -> None:
        node, path = part.node, part.path
        if not part.first:
            self._add_rest(window, part)
            return
        if part.error is not None and node.type != _FILE:
            self._note_damage(path, f"entries of this directory are missing: {part.error}")
            return
        name = path[self._cut :]
        self.current = path
        self._long = None
        if name == self._damage_name:
            self._damage_name += b"~"
        if (reason := self._form.refusal(name, node)) is not None:
            self.result.skipped += 1
            self._note(path, f"left out: {reason}")
        elif part.link_to is not None:
            self._add_link(name, part, part.link_to)
        elif node.type == _FILE:
            self._add_file(name, window, part)
        else:
            self._form.add(name, node)
            if node.type == NodeType.DIRECTORY:
                self.result.directories += 1
            else:
                self.result.others += 1

    def _add_link(self, name: bytes, part: Part, first: bytes) -> None:
        if first in self._left_out:
            self._note_damage(part.path, "left out: another name of the same file is damaged")
            return
        self._form.link(name, part.node, first[self._cut :])
        self.result.links += 1

    def _add_file(self, name: bytes, window: Window, part: Part) -> None:
        node = part.node
        has_holes = node.extra is not None and bool(node.extra.holes)
        try:
            pieces = self._pieces(window, part) if part.last else []
            if has_holes or not part.last:
                self._form.begin(name, node)
                self._long = _LongFile()
                self._add_rest(window, part)
                return
        except IntegrityError as error:
            if node.extra is not None and node.extra.link_count > 1:
                self._left_out.add(part.path)
            self._note_damage(part.path, f"left out: {error}")
            return
        self._form.add(name, node, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        self.result.files += 1
        self.result.content_bytes += node.size

    def _pieces(self, window: Window, part: Part) -> list[bytes]:
        """Return the content of a file that is wholly in the window.

        Raises:
            IntegrityError: a part of it cannot be read.
        """
        if part.error is not None:
            raise part.error
        pieces = []
        for span in part.spans:
            data = piece(window, part.node, span)
            if isinstance(data, IntegrityError):
                raise data
            pieces.append(data)
        return pieces

    def _add_rest(self, window: Window, part: Part) -> None:
        """Append to the file that was begun, and end it with its last part."""
        long, form, size = self._long, self._form, part.node.size
        if long is None:
            return  # it could not begin
        for span in part.spans:
            offset, length, _ = span
            form.hole(offset - long.position)
            long.position = offset
            data = piece(window, part.node, span)
            if isinstance(data, IntegrityError):
                long.note(data, length)
                form.write(bytes(length))
            else:
                form.write(data)
            long.position += length
        if not part.last:
            return
        if part.error is None:
            form.hole(size - long.position)
        else:
            long.note(part.error, size - long.position)
        form.end(damaged=long.error is not None)
        self._long = None
        self.result.files += 1
        self.result.content_bytes += size
        if long.error is not None:
            self._note_damage(
                part.path,
                f"{long.damaged_bytes} of its bytes, the first at {long.damaged_at}, are damaged "
                f"and zeros in the archive: {long.error}",
            )

    def _add_list_of_damage(self) -> None:
        if not self._damage:
            return
        text = (_DAMAGE_TITLE + "".join(self._damage)).encode(errors="backslashreplace")
        moment = self._snapshot.time_ns
        node = Node(self._damage_name, _FILE, 0o644, 0, 0, len(text), moment, 0, 0, 0, b"")
        self._form.add(self._damage_name, node, text)

    def _note_damage(self, path: bytes, problem: str) -> None:
        self.result.damaged += 1
        line = f"{display(path)}: {problem}".replace("\n", "\\n")
        self._damage.append(line + "\n")
        self._note(path, problem)

    def _note(self, path: bytes, problem: str) -> None:
        finding = Finding(display(path), problem)
        self.result.findings.append(finding)
        if self._on_finding is not None:
            self._on_finding(finding)
