"""Who may look inside: run as another user, in a namespace where FUSE is for everybody."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command_line import environment_for_processes
from support.mounting import Store

USER = "nobody"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the other user can reach and owns."""
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as path:
        shutil.chown(path, USER)
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture
def theirs(place: Path) -> Store:
    """A repository of root's files that the other user has the key of."""
    store = Store(place)
    source = place / "source"
    source.mkdir()
    (source / "secret").write_bytes(b"root's own\n")
    (source / "secret").chmod(0o600)
    (source / "public").write_bytes(b"for all\n")
    store.back_up(source)
    shutil.rmtree(source)
    for path in (place, *place.rglob("*")):
        shutil.chown(path, USER)
    return store


def mount_command(store: Store, *words: str) -> str:
    (store.directory / "mnt").mkdir(exist_ok=True)
    shutil.chown(store.directory / "mnt", USER)
    command = [sys.executable, "-m", "holdfast_cli", *store.base, "--json", "mount"]
    return shlex.join([*command, *words, str(store.directory / "mnt")])


def run_in_namespace(
    store: Store, script: str, *, allow: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a script as root, in a namespace of mounts that goes with it.

    There /dev/fuse is for everybody, as on most machines, and /etc/fuse.conf as wished. `as_user`
    runs a command as the other user.
    """
    place = store.directory
    (place / "fuse.conf").write_text("user_allow_other\n" if allow else "")
    setup = f"""
        mknod -m 666 {place}/fuse c 10 229 && mount --bind {place}/fuse /dev/fuse || exit 99
        [ ! -e /etc/fuse.conf ] || mount --bind {place}/fuse.conf /etc/fuse.conf || exit 99
        as_user() {{ setpriv --reuid {USER} --clear-groups -- "$@"; }}
        cd {place} && trap 'umount -l mnt 2>/dev/null' EXIT
    """
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", setup + script],
        env=environment_for_processes(HOME=str(place)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode == 99:
        pytest.skip(f"no namespace with a /dev/fuse for everybody: {done.stderr.strip()}")
    assert "Traceback" not in done.stderr
    return done


def can_run_python() -> bool:
    words = ["setpriv", "--reuid", USER, "--clear-groups", sys.executable, "-c", "import holdfast"]
    done = subprocess.run(words, env=environment_for_processes(), capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture(autouse=True)
def reachable() -> None:
    if not can_run_python():
        pytest.skip(f"{USER} cannot run the interpreter of the tests")


SEEN = "mnt/latest$PWD/source"


def test_a_private_mount(theirs: Store) -> None:
    """The user who mounts reads everything, also what was root's; nobody else gets in."""
    done = run_in_namespace(
        theirs,
        f"""
        as_user {mount_command(theirs)} || exit
        as_user cat {SEEN}/secret {SEEN}/public
        as_user stat -c '%a %u' {SEEN}/secret
        ls mnt && exit 40
        setpriv --reuid daemon --clear-groups ls mnt && exit 41
        as_user fusermount3 -u mnt
        """,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == ["root's own", "for all", "600 0"]
    assert done.stderr.count("Permission denied") == 2


def test_other_users_need_a_line_in_fuse_conf(theirs: Store) -> None:
    command = mount_command(theirs, "--allow-other")
    done = run_in_namespace(theirs, f"as_user {command}; code=$?; ls mnt; exit $code")
    assert done.returncode == 30, done.stderr
    assert "mounted" not in done.stdout
    error = json.loads(done.stderr.splitlines()[-1])
    assert error["error"] == "MountError"
    assert "user_allow_other" in error["message"]
    assert "/etc/fuse.conf" in error["message"]
    assert len(done.stderr.splitlines()) == 1


def test_other_users_have_the_rights_that_files_give(theirs: Store) -> None:
    done = run_in_namespace(
        theirs,
        f"""
        as_user {mount_command(theirs, "--allow-other")} || exit
        cat {SEEN}/secret
        setpriv --reuid daemon --clear-groups cat {SEEN}/public
        setpriv --reuid daemon --clear-groups cat {SEEN}/secret && exit 40
        as_user cat {SEEN}/secret && exit 41
        as_user fusermount3 -u mnt
        """,
        allow=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == ["root's own", "for all"]
    assert done.stderr.count("Permission denied") == 2


def test_no_right_to_use_fuse(theirs: Store) -> None:
    command = mount_command(theirs)
    done = run_in_namespace(theirs, f"chmod 600 fuse; as_user {command}")
    assert done.returncode == 30
    assert "no permission to use /dev/fuse" in json.loads(done.stderr)["message"]


def test_a_directory_of_somebody_else(theirs: Store) -> None:
    command = mount_command(theirs)
    done = run_in_namespace(theirs, f"chown root mnt; as_user {command}")
    assert done.returncode == 30
    assert done.stdout == ""
    assert "only who may write to a directory" in json.loads(done.stderr)["message"]
