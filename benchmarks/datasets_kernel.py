"""Versions of the Linux source, as Debian packages it.

The packages come through apt, which verifies them; nothing is installed. Which versions there are
depends on what the machine's package lists offer, so the manifest's digests tell what was used.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from measure import Command, CommandError, output_of

_PACKAGE: Final = "linux-source-6.1"


def make(root: Path, nights: int, scale: float) -> None:
    """Download the newest versions and unpack them, oldest first.

    Args:
        root: a directory that is there.
        nights: how many versions.
        scale: share of the tree's top directories that is kept, in alphabetical order.

    Raises:
        CommandError: apt does not offer so many versions, or failed.
    """
    versions = _versions()
    if len(versions) < nights:
        raise CommandError(
            f"apt offers {len(versions)} versions of {_PACKAGE}, {nights} are needed; "
            "give unpacked ones with --kernel"
        )
    for number, version in enumerate(versions[-nights:], start=1):
        _unpack(root, version, root / f"night-{number}")
        _thin(root / f"night-{number}", scale)


def _versions() -> list[str]:
    """Return the versions that apt offers, oldest first, each once."""
    lines = output_of(Command(arguments=("apt-cache", "madison", _PACKAGE))).splitlines()
    newest_first = dict.fromkeys(line.split("|")[1].strip() for line in lines if "|" in line)
    return list(reversed(newest_first))


def _unpack(root: Path, version: str, target: Path) -> None:
    scratch = root / "unpacking"
    scratch.mkdir()
    words = ("apt-get", "-o", "APT::Sandbox::User=root", "download", f"{_PACKAGE}={version}")
    output_of(Command(arguments=words, directory=scratch))
    package = next(scratch.glob("*.deb"))
    output_of(Command(arguments=("dpkg-deb", "-x", str(package), str(scratch / "deb"))))
    archive = next((scratch / "deb" / "usr" / "src").glob("*.tar.*"))
    target.mkdir()
    into = ("--strip-components=1", "-C", str(target))
    output_of(Command(arguments=("tar", "-xf", str(archive), *into)))
    shutil.rmtree(scratch)


def _thin(tree: Path, scale: float) -> None:
    if scale >= 1:
        return
    directories = sorted(path for path in tree.iterdir() if path.is_dir())
    for path in directories[max(1, round(len(directories) * scale)) :]:
        shutil.rmtree(path)
