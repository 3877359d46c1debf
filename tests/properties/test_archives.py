"""Archives hold any name and any number: tarfile and zipfile read back what went in."""

from __future__ import annotations

import io
import os
import zipfile

from hypothesis import given
from hypothesis import strategies as st

from holdfast.format.node import Node, NodeExtra, NodeType
from holdfast.operations.archive import ArchiveKind
from support.archives import make_archive, read_tar, read_zip, tar_content
from support.trees import DictSource, directory_node, file_node, node_of

NAMES = st.one_of(
    st.binary(min_size=1, max_size=255), st.text(min_size=1, max_size=80).map(str.encode),
    st.sampled_from([b"a" * 100, b"a" * 101, b"\xff" * 100, b"\xff" * 101, b"x" * 255]),
).filter(lambda name: len(name) <= 255 and not {b"/", b"\0"} & {bytes((one,)) for one in name}
         and name not in (b".", b".."))  # fmt: skip
NUMBERS = st.integers(0, 2**32 - 1)
TIMES = st.integers(-(2**62), 2**62)


@given(
    path=st.lists(NAMES, min_size=1, max_size=4),
    target=st.binary(min_size=1, max_size=300).filter(lambda text: b"\0" not in text),
    uid=NUMBERS,
    gid=NUMBERS,
    mode=st.integers(0, 0o7777),
    mtime_ns=TIMES,
    content=st.binary(max_size=2000),
)
def test_tar_holds_any_entry(
    path: list[bytes], target: bytes, uid: int, gid: int, mode: int, mtime_ns: int, content: bytes
) -> None:
    source = DictSource(chunk_size=700)
    numbers: dict[str, object] = {"uid": uid, "gid": gid, "mode": mode, "mtime_ns": mtime_ns}
    link = node_of(NodeType.SYMLINK, b"l" + path[-1][:254], extra=NodeExtra(target=target))
    node: Node = file_node(source, path[-1], content, **numbers)
    node = directory_node(source, b"", [node, link] if link.name != node.name else [node])
    for name in reversed(path[:-1]):
        node = directory_node(source, b"", [directory_node(source, name, _entries(source, node))])
    data, result = make_archive(source, node)
    assert not result.findings
    members = {os.fsencode(name): member for name, member in read_tar(data).items()}
    full = b"/".join(path)
    member = members[full]
    assert (member.uid, member.gid, member.mode, member.size) == (uid, gid, mode, len(content))
    whole, rest = divmod(abs(mtime_ns), 10**9)
    text = f"{whole}.{rest:09d}".rstrip("0").rstrip(".")
    expected = ("-" if mtime_ns < 0 else "") + text
    recorded = member.pax_headers.get("mtime", str(int(member.mtime)))
    assert (recorded.rstrip("0").rstrip(".") if "." in recorded else recorded) == expected
    assert tar_content(data, os.fsdecode(full)) == content
    if link.name != path[-1]:
        found = members[b"/".join([*path[:-1], link.name])]
        assert os.fsencode(found.linkname) == target


def _entries(source: DictSource, node: Node) -> list[Node]:
    return [entry for page_id in node.blob_ids for entry in source.pages[page_id]]


@given(files=st.dictionaries(NAMES, st.binary(max_size=3000), max_size=5), mtime_ns=TIMES)
def test_zip_holds_any_file(files: dict[bytes, bytes], mtime_ns: int) -> None:
    source = DictSource(chunk_size=700)
    nodes = [file_node(source, *item, mtime_ns=mtime_ns) for item in files.items()]
    data, result = make_archive(source, directory_node(source, b"", nodes), ArchiveKind.ZIP)
    assert not result.findings
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [
            info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")
            for info in archive.infolist()
        ]
    assert names == sorted(files)
    assert sorted(read_zip(data).values()) == sorted(files.values())
