"""A real S3 server for tests: a one-node Ceph cluster on loopback, with its gateway.

One cluster serves all processes of a test run. A keeper process holds its daemons and ends when
nobody uses the cluster any more: every user holds a shared lock that vanishes with its process,
however that ends, and the daemons are killed by the kernel when the keeper dies. So a killed test
run leaves nothing behind.

    python tests/support/ceph.py DIRECTORY     the keeper; started by `shared_cluster`

Facts that shape it, of Ceph 16 on Debian 12: no mgr and no authentication between daemons are
needed; two Paxos intervals decide how long a start takes (17 s or 6 s); without `tcp_nodelay` every
small request takes 45 ms; SIGTERM may leave a monitor alive, SIGKILL never does. About 6 s of
starting, 150 MB of memory and 60 MB of disk, most of that the monitor's database.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

_PROGRAMS: Final = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "setpriv")
_PACKAGES: Final = "ceph-mon ceph-osd radosgw"
_PORTS: Final = (10_000, 30_000)
"""Below those that the kernel gives to clients: a gateway comes back on the port it had."""
_START_S: Final = 60.0
_SHOWN: Final = 4000
"""Bytes of each log that an error quotes."""
_OSD_BYTES: Final = 8 << 30
"""Size of the sparse file that the objects lie in."""
_TICK_S: Final = 0.02
_LOOK_S: Final = 0.25
"""How often the keeper looks for users."""
KMS_KEY: Final = "holdfast-test"
"""A key that SSE-KMS may name."""

_CONF: Final = f"""
[global]
fsid = {{fsid}}
mon host = v1:127.0.0.1:{{mon_port}}
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr2 = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd crush update on start = false
osd class update on start = false
mon allow pool size one = true
mon max pg per osd = 2000
mon osd down out interval = 0
mon data avail warn = 2
mon data avail crit = 1
mon warn on pool no redundancy = false
paxos propose interval = 0.05
paxos min wait = 0.01
mon data = {{directory}}/mon
osd data = {{directory}}/osd
osd objectstore = bluestore
osd memory target = 939524096
bluestore block create = true
bluestore block size = {_OSD_BYTES}
log file = {{directory}}/log/$name.log
admin socket = {{directory}}/run/$name.$pid.asok
pid file =
run dir = {{directory}}/run
crash dir = {{directory}}/log
keyring = {{directory}}/keyring
rgw thread pool size = 64
rgw rados pool pg num min = 1
rgw dynamic resharding = false
osd client watch timeout = 2
rgw lc debug interval = 2
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = {KMS_KEY}=aG9sZGZhc3QgdGVzdHMgdGhpcyBrZXkgaXMgbm9uZSE=
"""
"""A day of lifecycle rules takes two seconds. The osd does not enter itself into the map: in its first
moments it may do so without the cluster's id, is refused, and ends. Watches of a dead gateway end
after two seconds, not thirty, in which changes of buckets wait for it."""


class CephError(Exception):
    """Ceph could not be started; quotes the ends of its logs."""


@dataclass(frozen=True, slots=True)
class User:
    """An account of the gateway."""

    name: str
    access_key: str
    secret_key: str


OWNER: Final = User("owner", "KEY", "SECRETSECRET")
OTHER: Final = User("other", "KEY2", "SECRETSECRET2")
"""Owns nothing; policies of buckets say what it may do."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster, as its users see it."""

    meeting_place: str
    """The directory that users name to find it."""
    directory: str
    """Where it lies."""
    port: int
    """Of the gateway that all share and nobody kills."""
    disk_bytes: int
    """Used on the disk after the start."""

    @property
    def endpoint(self) -> str:
        """URL of the shared gateway."""
        return f"http://127.0.0.1:{self.port}"

    def gateway(self) -> Gateway:
        """Return a gateway of one's own to the same buckets, not started yet; it may be killed."""
        return Gateway(Path(self.directory), applies_rules=False)


class Gateway:
    """A gateway that its owner starts, kills and starts again; it dies with its owner.

    Start it from the main thread: the kernel ends it with the thread that began it.

    Args:
        directory: of the cluster.
        applies_rules: whether it applies lifecycle rules. One that is killed at that keeps them
            locked for 90 seconds.
    """

    def __init__(self, directory: Path, *, applies_rules: bool = True) -> None:
        self._directory = directory
        self._applies_rules = applies_rules
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def endpoint(self) -> str:
        """Its URL, the same after every start."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self, *needed: subprocess.Popen[bytes]) -> Self:
        """Start it; on return it answers.

        Args:
            needed: processes without which it never will.

        Raises:
            CephError: it does not, or ended.
        """
        frontend = f"beast endpoint=127.0.0.1:{self.port} tcp_nodelay=1"
        name = f"client.rgw.{self.port}"
        words = ["radosgw", "-n", name, "--rgw-frontends", frontend]
        if not self._applies_rules:
            words.append("--rgw-enable-lc-threads=false")
        self._process = _daemon(self._directory, *words)
        _wait_until(
            self._answers,
            self._directory,
            f"the gateway on port {self.port} does not answer",
            self._process,
            *needed,
        )
        return self

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def is_missing() -> str:
    """Return why there can be no cluster here, or nothing; a failing start is no reason."""
    missing = [program for program in _PROGRAMS if shutil.which(program, path=_path()) is None]
    if not missing:
        return ""
    return f"no {' '.join(missing)} here: apt-get install --no-install-recommends {_PACKAGES}"


@contextlib.contextmanager
def shared_cluster(directory: Path) -> Iterator[Cluster]:
    """Use the cluster of everybody who names the same directory; the first one starts it.

    Args:
        directory: where users find each other; the cluster itself lies elsewhere.

    Raises:
        CephError: it could not be started, by this user or an earlier one.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "users", "wb") as users:
        with open(directory / "starting", "wb") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)  # waits for a keeper that is ending
            if not _has_keeper(directory):
                _start_keeper(directory)
        state = json.loads((directory / "state.json").read_text())
        if "failed" in state:
            raise CephError(state["failed"])
        yield Cluster(**state)


def free_port() -> int:
    """Return a port of loopback on which nobody listens and that no client is given."""
    while True:
        port = random.SystemRandom().randrange(*_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


# -- the keeper ---------------------------------------------------------------------------------


def keep(directory: Path) -> None:
    """Run a cluster until nobody holds the lock in `directory`, then remove all traces of it."""
    home = Path(tempfile.mkdtemp(prefix="holdfast-ceph-"))  # short: names of sockets have a limit
    state = directory / "state.json"
    daemons: list[subprocess.Popen[bytes]] = []
    alive = open(directory / "keeper", "wb")  # noqa: SIM115 - locked as long as this process lives
    fcntl.flock(alive, fcntl.LOCK_EX)
    try:
        try:
            gateway = Gateway(home)
            _start(home, gateway, daemons)
            used = sum(path.lstat().st_blocks * 512 for path in home.rglob("*"))
            _write(state, asdict(Cluster(str(directory), str(home), gateway.port, used)))
        except (CephError, OSError, subprocess.SubprocessError) as error:
            _write(state, {"failed": str(error)})
        with open(directory / "users", "wb") as users:
            while not _can_lock(users.fileno()):
                time.sleep(_LOOK_S)
            # Locked until the end of this process: the next user waits, then starts a new one.
            for process in daemons:
                process.kill()
                process.wait()
            state.unlink(missing_ok=True)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _has_keeper(directory: Path) -> bool:
    with open(directory / "keeper", "wb") as alive:
        return not _can_lock(alive.fileno())


def _start_keeper(directory: Path) -> None:
    (directory / "state.json").unlink(missing_ok=True)
    with open(directory / "keeper.log", "wb") as log:
        keeper = subprocess.Popen(
            [sys.executable, __file__, str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + 3 * _START_S
    while not (directory / "state.json").exists():
        if keeper.poll() is not None or time.monotonic() > deadline:
            keeper.kill()
            raise CephError(f"the keeper failed\n{(directory / 'keeper.log').read_text()}")
        time.sleep(_TICK_S)
    keeper.returncode = 0  # nobody waits for it: it outlives this process if others need it


def _start(home: Path, gateway: Gateway, daemons: list[subprocess.Popen[bytes]]) -> None:
    for name in ("mon", "osd", "run", "log"):
        (home / name).mkdir()
    fsid, osd_id = "11111111-2222-3333-4444-555555555555", "22222222-2222-3333-4444-555555555555"
    mon_port = free_port()
    values = {"fsid": fsid, "mon_port": mon_port, "directory": home}
    (home / "ceph.conf").write_text(_CONF.format(**values))
    keyring, monmap = str(home / "keyring"), str(home / "monmap")
    caps = ["--cap", "mon", "allow *", "--cap", "osd", "allow *"]
    _run(home, "ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", *caps[:3])
    _run(home, "ceph-authtool", keyring, "--gen-key", "-n", "client.admin", *caps)
    address = f"[v1:127.0.0.1:{mon_port}]"
    _run(home, "monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, monmap)
    _run(home, "ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
    daemons.append(_daemon(home, "ceph-mon", "-i", "a"))
    ceph = ("ceph", "--connect-timeout", "30", "osd")
    _run(home, *ceph, "new", osd_id)
    _run(home, *ceph, "crush", "add", "osd.0", "1.0", "root=default", "host=localhost")
    _run(home, "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd_id)
    daemons.append(_daemon(home, "ceph-osd", "-i", "0"))
    try:
        gateway.start(*daemons)
    finally:
        if gateway._process is not None:
            daemons.append(gateway._process)
    for user in (OWNER, OTHER):
        names = ["--uid", user.name, "--display-name", user.name]
        keys = ["--access-key", user.access_key, "--secret-key", user.secret_key]
        _run(home, "radosgw-admin", "user", "create", *names, *keys)


def _daemon(home: Path, *command: str) -> subprocess.Popen[bytes]:
    """Start a daemon that dies with this process."""
    with open(home / "log" / "daemons.out", "ab") as out:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command, "-f"],
            env=_environment(home),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=home,
        )


def _run(home: Path, *command: str) -> None:
    done = subprocess.run(
        command,
        env=_environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_START_S,
        check=False,
        cwd=home,
    )
    if done.returncode:
        told = (done.stdout + done.stderr).decode("utf-8", "replace")[-_SHOWN:]
        raise CephError(f"{' '.join(command)} ended with {done.returncode}\n{told}{_logs(home)}")


def _environment(home: Path) -> Mapping[str, str]:
    # The C locale: a gateway aborts where it does not know the language that LANG names.
    kept = {"PATH": _path(), "LC_ALL": "C", "LANG": "C", "HOME": str(home)}
    return {**kept, "CEPH_CONF": str(home / "ceph.conf"), "CEPH_KEYRING": str(home / "keyring")}


def _path() -> str:
    path = os.environ.get("PATH", os.defpath)  # noqa: TID251 - tests are the edge
    return os.pathsep.join([path, "/usr/sbin", "/sbin"])


def _wait_until(
    is_done: Callable[[], bool], home: Path, failure: str, *processes: subprocess.Popen[bytes]
) -> None:
    deadline = time.monotonic() + _START_S
    while not is_done():
        for process in processes:
            if process.poll() is not None:
                raise CephError(f"{failure}: {process.args!r} has ended{_logs(home)}")
        if time.monotonic() > deadline:
            raise CephError(f"{failure} after {_START_S:.0f} s{_logs(home)}")
        time.sleep(_TICK_S)


def _logs(home: Path) -> str:
    paths = sorted((home / "log").glob("*.*"))
    return "".join(f"\n--- {path.name}\n{_end_of(path)}" for path in paths)


def _end_of(path: Path) -> str:
    return path.read_bytes()[-_SHOWN:].decode("utf-8", "replace")


def _can_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(path: Path, value: object) -> None:
    whole = path.with_suffix(".part")
    whole.write_text(json.dumps(value))
    whole.rename(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Be a keeper."""
    parser = argparse.ArgumentParser(description="keep a cluster for tests")
    parser.add_argument("directory", type=Path)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the users; then this ends
    keep(parser.parse_args(arguments).directory)


if __name__ == "__main__":
    main()
