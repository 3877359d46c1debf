"""Finding and listing: by path, in order, through many pages, past damage."""

from __future__ import annotations

import pytest

from holdfast.errors import FormatError, IntegrityError, PathNotFoundError
from holdfast.operations.tree_walk import find_node, iter_directory, iter_tree
from support.trees import DictSource, directory_node, file_node


def _source() -> tuple[DictSource, bytes]:
    source = DictSource(page_length=3)
    many = [file_node(source, b"f%03d" % i) for i in range(100)]
    inner = directory_node(source, b"inner", many)
    root = source.add_directory([directory_node(source, b"d", [inner]), file_node(source, b"z")])
    return source, root


@pytest.mark.parametrize("path", [b"/d/inner/f000", b"/d//inner/f057/", b"d/inner/f099", b"/z"])
def test_find(path: bytes) -> None:
    source, root = _source()
    assert find_node(source, root, path, snapshot="0" * 32).name == path.strip(b"/").split(b"/")[-1]
    assert source.pages_read <= 9


@pytest.mark.parametrize("path", [b"/x", b"/d/inner/f100", b"/d/inner/f0570", b"/z/a", b"/d/a/b"])
def test_paths_that_are_not_there(path: bytes) -> None:
    source, root = _source()
    with pytest.raises(PathNotFoundError) as raised:
        find_node(source, root, path, snapshot="0" * 32)
    assert raised.value.path == path.decode()


def test_the_root_itself() -> None:
    source, root = _source()
    assert find_node(source, root, b"/", snapshot="").content == root
    assert find_node(DictSource(), b"", b"/", snapshot="").name == b""


def test_everything_in_order() -> None:
    source, root = _source()
    paths = [path for path, _ in iter_tree(source, root)]
    assert paths == sorted(paths)
    assert paths[:3] == [b"/d", b"/d/inner", b"/d/inner/f000"]
    assert len(paths) == 103
    below = [path for path, _ in iter_tree(source, root, b"/base")]
    assert below == [b"/base" + path for path in paths]


def test_damaged_pages() -> None:
    source, root = _source()
    inner = find_node(source, root, b"/d/inner", snapshot="")
    source.damaged.add(inner.blob_ids[4])
    with pytest.raises(IntegrityError):
        list(iter_tree(source, root))
    met: list[bytes] = []
    paths = [
        path for path, _ in iter_tree(source, root, on_damage=lambda path, _: met.append(path))
    ]
    assert met == [b"/d/inner"]
    assert len(paths) == 100


def test_pages_out_of_order_are_damage() -> None:
    source, root = _source()
    inner = find_node(source, root, b"/d/inner", snapshot="")
    ids = inner.blob_ids
    with pytest.raises(FormatError):
        list(iter_directory(source, ids[1] + ids[0]))
    with pytest.raises(FormatError):
        list(iter_directory(source, ids[0] + ids[0]))
