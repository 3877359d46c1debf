"""Real PostgreSQL servers for tests: on a socket in a short directory, ended with the test run.

initdb runs once for each set of its options in a process; every server starts on a copy. A server
dies with the process that started it, also if that is killed. PostgreSQL refuses to run as root, so
root starts it as the user `postgres`, or `nobody` where that does not exist.
"""

from __future__ import annotations

import atexit
import functools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_PLACES = ("/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt")
_START_S = 60.0
_PREFIX = "hf-pg-"
"""Of directories; the id of the process that made one follows."""
_MOST_BYTES = 4 << 30
"""Room that the servers of a test run may need."""
_QUICK = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "on",
    "listen_addresses": "''",
    "shared_buffers": "16MB",
    "autovacuum": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_wal_senders": "4",
    "wal_level": "replica",
}
"""What makes a server start fast and lie still; tests may set other values."""


@functools.cache
def find_bin() -> Path | None:
    """Return the directory of the newest server programs, or None."""
    found = [path.parent for place in _PLACES for path in Path(place).glob("*/bin/initdb")]
    on_path = shutil.which("initdb")
    if on_path is not None:
        found.append(Path(on_path).parent)
    return max(found, key=lambda path: (_number(path.parent.name), str(path)), default=None)


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def is_missing() -> str | None:
    """Say why no server can be started here, or None."""
    if find_bin() is None:
        return "PostgreSQL is not installed (apt-get install postgresql)"
    if shutil.which("setpriv") is None:
        return "setpriv is not installed (apt-get install util-linux)"
    return None


@functools.cache
def system_user() -> str | None:
    """Return as whom servers run: None for who runs the tests, a user's name if that is root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@dataclass(slots=True)
class PostgresServer:
    """A running server. `user` is its superuser, who needs no password on the socket."""

    bin: Path
    data_directory: Path
    host: str
    """Directory of its socket."""
    port: int = 5432
    user: str = "postgres"
    environment: dict[str, str] = field(default_factory=dict)
    """For its tools: nothing of the tests' own environment but what finds programs."""
    _process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """All that the server has said."""
        return (Path(self.host) / "log").read_text(errors="replace")

    def psql(self, database: str, sql: str) -> str:
        """Run statements as the superuser; return rows as lines, columns joined by `|`."""
        words = [str(self.bin / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        words += ["-h", self.host, "-p", str(self.port), "-U", self.user]
        words += ["-d", f"dbname='{_escape(database)}'", "-f", "-"]
        done = subprocess.run(
            words, env=self.environment, input=sql.encode(), capture_output=True, check=False
        )
        assert done.returncode == 0, f"psql: {done.stderr.decode()}"
        return done.stdout.decode().rstrip("\n")

    def configure(self, settings: Mapping[str, str]) -> None:
        """Add lines to postgresql.auto.conf, values as they stand in the file."""
        with (self.data_directory / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def start(self) -> None:
        """Start it and wait until it answers; raises RuntimeError with its log if it ends."""
        words = ["setpriv", "--pdeathsig", "KILL", str(self.bin / "postgres")]
        words += ["-D", str(self.data_directory), "-k", self.host, "-p", str(self.port)]
        with (Path(self.host) / "log").open("ab") as log:
            self._process = subprocess.Popen(
                words,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **_as_system_user(),  # type: ignore[call-overload]
            )
        self._await()

    def _await(self) -> None:
        # The postmaster writes its state to the last line; asking costs a process each time.
        state = self.data_directory / "postmaster.pid"
        deadline = time.monotonic() + _START_S
        assert self._process is not None
        while True:
            if self._process.poll() is not None:
                raise RuntimeError(f"postgres ended with {self._process.returncode}:\n{self.log}")
            lines = state.read_text().split("\n") if state.exists() else []
            own = bool(lines) and lines[0] == str(self._process.pid)
            if own and len(lines) > 7 and lines[7].strip() in {"ready", "standby"}:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"postgres did not start:\n{self.log}")
            time.sleep(0.02)

    @property
    def is_running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def reload(self) -> None:
        """Make it read its configuration files again."""
        assert self.psql("postgres", "SELECT pg_reload_conf()") == "t"
        time.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT breaks connections off, SIGQUIT is a crash that recovery follows."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        self._process = None


@contextmanager
def postgres_server(
    *,
    settings: Mapping[str, str] | None = None,
    initdb: Sequence[str] = (),
    data_directory: Path | None = None,
) -> Iterator[PostgresServer]:
    """Start a server of one's own and stop it in the end.

    Args:
        settings: lines of its configuration, values as they stand in the file.
        initdb: more options, like "--data-checksums".
        data_directory: start on this one, which is left there; None for a new one.
    """
    server = new_server(initdb=initdb, data_directory=data_directory)
    try:
        server.configure({**_QUICK, **(settings or {})})
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.host, ignore_errors=True)


def new_server(*, initdb: Sequence[str] = (), data_directory: Path | None = None) -> PostgresServer:
    """Return a server that is not running, with a socket directory that the caller removes."""
    tools = find_bin()
    assert tools is not None
    base = _short_directory()
    if data_directory is None:
        data_directory = base / "data"
        _run("cp", "-a", str(_template(tuple(initdb))), str(data_directory))
    return PostgresServer(
        bin=tools, data_directory=data_directory, host=str(base), environment=new_environment()
    )


@functools.cache
def _template(options: tuple[str, ...]) -> Path:
    """Return a data directory that servers are copied from; removed with the process."""
    tools = find_bin()
    assert tools is not None
    base = _short_directory()
    atexit.register(_remove, base, os.getpid())
    words = [str(tools / "initdb"), "-D", str(base / "data"), "-U", "postgres", "-A", "trust"]
    words += ["-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions", *options]
    _run(*words, as_system_user=True)
    return base / "data"


def _remove(base: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child ends too, and must leave alone what is its parent's
        shutil.rmtree(base, ignore_errors=True)


@functools.cache
def fast_place() -> str:
    """Return where directories are made: in memory, if there is room for some servers."""
    try:
        room = os.statvfs("/dev/shm")
    except OSError:
        return "/tmp"
    return "/dev/shm" if room.f_bavail * room.f_frsize > _MOST_BYTES else "/tmp"


@functools.cache
def _remove_left_over(place: str) -> None:
    """Remove directories of test runs that were killed; they may take memory."""
    for path in Path(place).glob(f"{_PREFIX}*-*"):
        owner = path.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(path, ignore_errors=True)


def _short_directory() -> Path:
    """Return a new directory; names of sockets are 107 bytes at most."""
    _remove_left_over(fast_place())
    base = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=fast_place()))
    base.chmod(0o755)
    user = system_user()
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(base, entry.pw_uid, entry.pw_gid)
    return base


def new_environment() -> dict[str, str]:
    """Return what tools see: nothing of the tests' own environment but what finds programs."""
    tools = find_bin()
    assert tools is not None
    # First the programs themselves: Debian's of the same names on PATH are slow wrappers in Perl.
    path = f"{tools}:{os.environ.get('PATH', os.defpath)}"  # noqa: TID251 - tests are the edge
    return {"PATH": path, "LC_ALL": "C", "TZ": "UTC", "HOME": "/nonexistent"}


def _as_system_user() -> dict[str, object]:
    user = system_user()
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": ()}


def _run(*words: str, as_system_user: bool = False) -> None:
    tools = find_bin()
    assert tools is not None
    who = _as_system_user() if as_system_user else {}
    done = subprocess.run(  # type: ignore[call-overload]
        words, env=new_environment(), capture_output=True, check=False, **who
    )
    assert done.returncode == 0, f"{words[0]}: {done.stderr.decode()}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
