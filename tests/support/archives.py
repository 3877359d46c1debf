"""Make archives of nodes, and unpack them with other people's programs."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Final

from holdfast.format.node import Node
from holdfast.format.snapshot import Snapshot
from holdfast.operations.archive import Archive, ArchiveKind, ArchiveResult
from holdfast.repository.reader import BlobSource

TIME_NS: Final = 1_700_000_000_000_000_000
SNAPSHOT: Final = Snapshot(
    id="0" * 32,
    time_ns=TIME_NS,
    host="host",
    user="user",
    raw_paths=(b"/",),
    root=b"",
    user_names={7: "anna", 8: "ü" * 20},
    group_names={9: "staff"},
)


def make_archive(
    source: BlobSource, node: Node, kind: ArchiveKind = ArchiveKind.TAR, path: bytes = b"/"
) -> tuple[bytes, ArchiveResult]:
    """Return an archive's bytes and what is in it."""
    archive = Archive(source, SNAPSHOT, node, path=path, kind=kind)
    return b"".join(archive.stream()), archive.result


def read_tar(data: bytes) -> dict[str, tarfile.TarInfo]:
    """Return the members by name; names that are no UTF-8 have surrogate escapes."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive.getmembers()}


def tar_content(data: bytes, name: str) -> bytes:
    """Return the content of a file in a tar archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        file = archive.extractfile(name)
        assert file is not None
        return file.read()


def read_zip(data: bytes) -> dict[str, bytes]:
    """Return content by name; every checksum is compared."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def untar(data: bytes, target: Path) -> bytes:
    """Unpack with GNU tar all that it can; return what it has to say."""
    target.mkdir()
    command = ["tar", "-x", "-p", "--xattrs", "--xattrs-include=*", "--acls", "-C", str(target)]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def unzip(path: Path, target: Path) -> int:
    """Unpack with Info-ZIP; return its exit code."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}  # noqa: TID251 - tests are the edge
    command = ["unzip", "-q", "-X", str(path), "-d", str(target)]
    return subprocess.run(command, env=environment, check=False, capture_output=True).returncode


def has_program(name: str) -> bool:
    """Tell whether a program is there."""
    return shutil.which(name) is not None
