"""Small trees drawn by hypothesis, as nested dicts, and what a diff of them must say.

A tree of the model is a dict of names; a value is a dict (a directory) or a `Leaf`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from hypothesis import strategies as st

from holdfast.format.node import Node, NodeExtra, NodeType
from support.trees import DictSource, directory_node, file_node, node_of


@dataclass(frozen=True)
class Leaf:
    """Anything but a directory."""

    kind: NodeType
    data: bytes = b""
    """Bytes of a file, target of a symbolic link."""
    mode: int = 0o644
    mtime_ns: int = 1
    xattr: bytes = b""
    rdev: int = 0


Tree: TypeAlias = "dict[bytes, Tree | Leaf]"

NAMES = st.sampled_from([b"a", b"b", b"c", b"d d", b"e\n", b"\xff\x1b[31m"])
FILES = st.builds(
    Leaf,
    st.just(NodeType.FILE),
    st.sampled_from([b"", b"one", b"two", b"one more", b"x" * 9000]),
    st.sampled_from([0o644, 0o755]),
    st.sampled_from([1, 2]),
    st.sampled_from([b"", b"value"]),
)
OTHERS = st.one_of(
    st.builds(Leaf, st.just(NodeType.SYMLINK), st.sampled_from([b"a", b"/etc"])),
    st.builds(Leaf, st.just(NodeType.BLOCK_DEVICE), rdev=st.integers(1, 2)),
    st.builds(Leaf, st.just(NodeType.FIFO)),
)
LEAVES = st.one_of(FILES, FILES, FILES, OTHERS)
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.dictionaries(NAMES, LEAVES, max_size=5),
    lambda inner: st.dictionaries(NAMES, st.one_of(LEAVES, inner), max_size=5),
    max_leaves=12,
)


def store(source: DictSource, tree: Tree) -> Node:
    """Store a tree; return the root's node."""
    return _node(source, b"", tree)


def _node(source: DictSource, name: bytes, value: Tree | Leaf) -> Node:
    if isinstance(value, dict):
        nodes = [_node(source, inner, value[inner]) for inner in sorted(value)]
        return _same_page(source, directory_node(source, name, nodes))
    extra = NodeExtra(xattrs=((b"user.a", value.xattr),) if value.xattr else ())
    if value.kind == NodeType.FILE:
        return file_node(
            source, name, value.data, mode=value.mode, mtime_ns=value.mtime_ns, extra=extra
        )
    if value.kind == NodeType.SYMLINK:
        return node_of(value.kind, name, extra=NodeExtra(target=value.data))
    return node_of(value.kind, name, extra=NodeExtra(rdev=value.rdev))


def _same_page(source: DictSource, node: Node) -> Node:
    """Give equal pages equal ids, as real ones have; `DictSource` numbers them."""
    known: dict[tuple[Node, ...], bytes] = source.__dict__.setdefault("known_pages", {})
    content = b""
    for page_id in node.blob_ids:
        content += known.setdefault(tuple(source.pages[page_id]), page_id)
    values = [getattr(node, name) for name in node.__struct_fields__]
    values[node.__struct_fields__.index("content")] = content
    return Node(*values)


def flatten(tree: Tree, base: bytes = b"") -> dict[bytes, Leaf | None]:
    """Return everything of a tree by path; None is a directory."""
    found: dict[bytes, Leaf | None] = {}
    for name, value in tree.items():
        path = base + b"/" + name
        if isinstance(value, dict):
            found[path] = None
            found |= flatten(value, path)
        else:
            found[path] = value
    return found
