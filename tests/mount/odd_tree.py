"""A tree with everything odd that a file system may hold, and a huge file beside it."""

from __future__ import annotations

import os
import random
import socket
import stat
import subprocess
from pathlib import Path
from typing import Final

from support.repos import write_tree

HUGE: Final = (4 << 30) + (300 << 20) + 17
"""Size of the sparse file: past 32 bits."""
ENTRIES: Final = 3000
LARGE: Final = 8_000_001
IS_ROOT: Final = os.geteuid() == 0
ODD_NAMES: Final = (
    b"not utf-8 \xff\xfe\xe9",
    b"new\nline",
    b"escape \x1b[31m \x07 \x01 \x7f",
    b"-rf",
    b"  spaces  ",
    b"back\\slash'quote\"",
    b"long-" + b"x" * 250,
    "ü € 漢 𝄞 é".encode(),
    b"...",
    b"latest",
)
TIMES_NS: Final = {
    b"before 1970": -1_234_567_890_123_456_789,
    b"one ns before 1970": -1,
    b"zero": 0,
    b"one ns": 1,
    b"1999": 946_684_799_999_999_999,
    b"2038": 2_147_483_648_000_000_001,
    b"2100": 4_102_444_800_123_456_789,
}


def make_odd_tree(root: Path) -> Path:
    """Make the tree."""
    noise = random.Random(5)
    write_tree(
        root,
        {
            b"plain/one": b"one\n",
            b"plain/empty": b"",
            b"plain/large": noise.randbytes(LARGE),
            b"plain/zeros": bytes(700_000),
            b"plain/other": noise.randbytes(300_000),
            **{b"names/" + name: name for name in ODD_NAMES},
            **{b"many/%04d" % number: b"%d" % number for number in range(ENTRIES)},
            **{b"times/" + name: b"" for name in TIMES_NS},
        },
        old=False,
    )
    base = os.fsencode(root)
    os.mkdir(base + b"/plain/empty directory")
    os.mkdir(base + b"/names/directory \xff\n")
    os.symlink(b"../\xff", base + b"/names/directory \xff\n/link")
    _make_deep(root / "deep")
    _make_sparse(root / "sparse", root.parent / "huge")
    _make_links(root)
    _make_special(root / "special")
    _make_metadata(root / "metadata")
    for name, time_ns in TIMES_NS.items():
        os.utime(base + b"/times/" + name, ns=(time_ns, time_ns))
    return root


def deepest(root: Path) -> str:
    """Return the relative path of some 3,600 bytes."""
    return os.path.join("deep", *[f"{number:02d}" + "d" * 198 for number in range(18)])


def _make_deep(root: Path) -> None:
    path = root.parent / deepest(root)
    path.mkdir(parents=True)
    (path / "bottom").write_bytes(b"deep down\n")


def _make_sparse(root: Path, huge: Path) -> None:
    root.mkdir()
    noise = random.Random(6)
    with open(huge, "wb") as file:
        for offset in (1 << 20, (4 << 30) + 5, HUGE - 3):
            file.seek(offset)
            file.write(noise.randbytes(3))
    with open(root / "ends in a hole", "wb") as file:
        file.write(b"begin")
        file.truncate(1_000_000)
    with open(root / "only a hole", "wb") as file:
        file.truncate(123_456)


def _make_links(root: Path) -> None:
    links = root / "links"
    links.mkdir()
    os.link(root / "plain" / "large", links / "hard large")
    for name in ("a", "b", "c"):
        os.link(root / "plain" / "one", links / f"hard {name}")
    os.symlink("../plain/one", links / "relative")
    os.symlink("nowhere", links / "dangling")
    os.symlink("/etc/hostname", links / "absolute")
    os.symlink(".", links / "itself")
    os.symlink("x" * 4000, links / "long")
    os.symlink(b"\xff\n\x1b[0m", bytes(links) + b"/odd target")


def _make_special(root: Path) -> None:
    root.mkdir()
    os.mkfifo(root / "fifo", 0o640)
    os.link(root / "fifo", root / "fifo again")
    with socket.socket(socket.AF_UNIX) as one:
        here = os.open(root, os.O_RDONLY)
        try:
            one.bind(f"/proc/self/fd/{here}/socket")  # the path itself may be too long
        finally:
            os.close(here)
    if IS_ROOT:
        os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(root / "block", stat.S_IFBLK | 0o600, os.makedev(7, 200))
        os.mknod(root / "large numbers", stat.S_IFCHR | 0o600, os.makedev(511, 1_000_000))


def _make_metadata(root: Path) -> None:
    root.mkdir()
    for mode in (
        *([0o000] if IS_ROOT else []),
        0o600,
        0o444,
        0o755,
        0o1777,
        0o2755,
        0o4755,
        0o6711,
        0o7777,
    ):
        path = root / f"mode {mode:04o}"
        path.write_bytes(b"%o" % mode)
        path.chmod(mode)
    for name in ("one", "several", "large", "binary"):
        (root / f"xattr {name}").write_bytes(b"")
    os.setxattr(root / "xattr one", "user.comment", b"a comment")
    for number in range(20):
        os.setxattr(root / "xattr several", f"user.number{number}", b"%d" % number)
    os.setxattr(root / "xattr large", "user.large", bytes(range(250)) * 8)
    os.setxattr(root / "xattr binary", "user.empty", b"")
    os.setxattr(root / "xattr binary", b"user.odd\xff", b"\0\xff\n")
    (root / "acl file").write_bytes(b"acl")
    (root / "acl directory").mkdir()
    subprocess.run(["setfacl", "-m", "u:65534:rw,g:7:r", root / "acl file"], check=True)
    subprocess.run(["setfacl", "-d", "-m", "u:65534:rwx", root / "acl directory"], check=True)
    if IS_ROOT:
        (root / "somebody's").write_bytes(b"")
        os.chown(root / "somebody's", 12345, 4_000_000_000)
        os.setxattr(root / "somebody's", "trusted.holdfast", b"for root")
        os.symlink("nowhere", root / "somebody's link")
        os.lchown(root / "somebody's link", 54321, 12345)
