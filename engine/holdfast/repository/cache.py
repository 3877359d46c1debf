"""The cache of one repository on this machine: an LMDB environment that can always be rebuilt.

Nothing in it is secret beyond blob ids (objects are kept sealed) and nothing in it is believed
against the repository. It may be deleted at any moment, and two processes may use it at once.

Durability: transactions are fsynced without their meta page (`metasync=False`), so a power cut
may lose the last one but tears nothing. Rebuilds write a fresh environment beside the old one
and swap directories; a process that still has the old one open keeps its files until it ends.
A process that dies while it has the cache open leaves its mark; whoever opens the cache next
rebuilds it, since damage to a memory map can end a process without an error to catch.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import threading
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import lmdb

from holdfast.errors import CacheError

SCHEMA: Final = b"2"
_MAP_SIZE: Final = 1 << 40
_MAX_READERS: Final = 1024
_LOCK_FILE_SIZE: Final = 64 * (_MAX_READERS + 64)
"""More than LMDB needs: a cache line for each reader and a few for itself."""
_LARGE: Final = 128 << 20
_CACHE_TAG: Final = "Signature: 8a477f597d28d172789f06886806bc55\n# A cache of holdfast.\n"
_DATABASES: Final = (b"meta", b"objects", b"packs", b"blobs", b"snapshots")

_DAMAGE: Final = (
    lmdb.BadChecksumError,
    lmdb.BadTxnError,
    lmdb.CorruptedError,
    lmdb.IncompatibleError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.ProblemError,
)
"""What LMDB says when it meets pages that make no sense."""

Transaction: TypeAlias = Any
Database: TypeAlias = Any

_environments: dict[str, _Environment] = {}
_environments_lock = threading.Lock()


class _Environment:
    """An open LMDB environment; one per path and process, as LMDB demands."""

    def __init__(self, path: str, *, durable: bool = True) -> None:
        self.path = path
        self.users = 0
        _reserve_lock_file(path)
        self.env = lmdb.open(
            path,
            map_size=_MAP_SIZE,
            max_dbs=len(_DATABASES),
            metasync=False,
            sync=durable,
            mode=0o600,
            max_readers=_MAX_READERS,
            readahead=False,
        )
        # A page past the end of a truncated file would end the process with SIGBUS: look before
        # the first page is touched.
        self.size = (self.env.info()["last_pgno"] + 1) * os.sysconf("SC_PAGE_SIZE")
        found = os.stat(f"{path}/data.mdb")
        self.file = (found.st_dev, found.st_ino)
        if self.size > found.st_size:
            self.env.close()
            raise lmdb.CorruptedError(f"{path} is cut off")
        self.databases: dict[bytes, Database] = {
            # A blob may lie in several packs: all its places are kept, 12 bytes each.
            name: self.env.open_db(name, dupsort=name == b"blobs", dupfixed=name == b"blobs")
            for name in _DATABASES
        }

    def is_current(self) -> bool:
        """Tell whether the path still leads to the file that is open."""
        try:
            found = os.stat(f"{self.path}/data.mdb")
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == self.file


class Cache:
    """An open cache.

    Args:
        directory: of this repository; created with mode 0700 if absent.

    Raises:
        CacheError: the directory cannot be created, read or written.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._path = os.path.join(directory, "lmdb")
        self._mark = -1
        self._mark_path = ""
        self._reason = ""
        self._in_use = 0
        self._spoilt = False
        self._environment: _Environment
        with self._translated():
            os.makedirs(directory, mode=0o700, exist_ok=True)
            _tag(directory)
            with self._exclusive():
                if self._crashed() or not self._attach():
                    self._discard()
                    if not self._attach():
                        raise CacheError(directory, f"a fresh one cannot be made ({self._reason})")
                self._leave_mark()

    def close(self) -> None:
        """Close the cache; harmless if repeated."""
        if self._mark < 0:
            return
        _release(self._environment)
        if not self._spoilt:
            with contextlib.suppress(OSError):
                os.unlink(self._mark_path)
        os.close(self._mark)
        self._mark = -1

    def spoil(self) -> None:
        """Have the cache rebuilt when it is opened next: what was being written is incomplete."""
        self._spoilt = True

    def damaged(self, error: Exception) -> CacheError:
        """Return what to raise where the content makes no sense; the next opening rebuilds it."""
        self.spoil()
        return CacheError(self.directory, f"it is damaged ({error}); the next run builds it anew")

    def database(self, name: bytes) -> Database:
        """Return the handle of a database."""
        return self._environment.databases[name]

    @property
    def is_large(self) -> bool:
        """Whether mapped pages are worth giving back now and then; see `remap`."""
        return self._environment.size > _LARGE

    @contextlib.contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A read transaction: a consistent view for its duration."""
        with self._translated(), self._using(), self._environment.env.begin() as transaction:
            yield transaction

    @contextlib.contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A write transaction: all or nothing; other writers wait."""
        env = self._environment.env
        with self._translated(), self._using(), env.begin(write=True) as transaction:
            yield transaction

    def begin(self) -> Transaction:
        """Begin a read transaction that the caller aborts before the cache is remapped."""
        return self._environment.env.begin()

    def remap(self) -> None:
        """Give mapped pages back to the system; what `begin` began must be aborted.

        A look-up of a random id maps up to 64 KiB; after 10 million ids the whole file would
        count as this process's memory. Does nothing while the environment is in use elsewhere,
        and nothing once another process has rebuilt the cache: numbers of packs are others there.
        """
        with _environments_lock:
            if self._environment.users == 1 and not self._in_use and self._environment.is_current():
                self._environment.env.close()
                self._environment = _Environment(self._path)
                self._environment.users = 1
                _environments[self._path] = self._environment

    @contextlib.contextmanager
    def rebuilding(self) -> Iterator[_Environment]:
        """Build a fresh environment that replaces this one when the block ends well.

        Not durable until the end, so that bulk loads run at the speed of memory; then fsynced
        and swapped in. If the block fails, the old environment stays.
        """
        fresh = f"{self._path}.new-{os.getpid()}"
        with self._translated(), self._exclusive():
            shutil.rmtree(fresh, ignore_errors=True)
            os.mkdir(fresh, 0o700)
            environment = _Environment(fresh, durable=False)
            try:
                with environment.env.begin(write=True) as transaction:
                    transaction.put(b"schema", SCHEMA, db=environment.databases[b"meta"])
                yield environment
                environment.env.sync(True)
            except BaseException:
                environment.env.close()
                shutil.rmtree(fresh, ignore_errors=True)
                raise
            environment.env.close()
            _release(self._environment)
            self._discard()
            os.rename(fresh, self._path)
            if not self._attach():
                raise CacheError(self.directory, f"a fresh one cannot be made ({self._reason})")

    def _attach(self) -> bool:
        """Open the environment; False if it is no usable cache of this schema."""
        try:
            self._environment = _acquire(self._path)
        except (lmdb.Error, OSError) as error:
            self._reason = str(error)
            return False
        try:
            environment = self._environment
            with environment.env.begin() as transaction:
                schema = transaction.get(b"schema", db=environment.databases[b"meta"])
                blobs = transaction.stat(db=environment.databases[b"blobs"])["entries"]
            if schema is None and blobs == 0:
                with environment.env.begin(write=True) as transaction:
                    transaction.put(b"schema", SCHEMA, db=environment.databases[b"meta"])
                schema = SCHEMA
        except lmdb.Error:
            schema = None
        if schema == SCHEMA:
            return True
        _release(self._environment)
        return False

    def _discard(self) -> None:
        if os.path.lexists(self._path):
            old = f"{self._path}.old-{os.getpid()}"
            shutil.rmtree(old, ignore_errors=True)
            os.rename(self._path, old)
            shutil.rmtree(old, ignore_errors=True)
        with _environments_lock:
            # Who still has the old one open in this process goes on with it, but nobody else.
            _environments.pop(self._path, None)

    def _crashed(self) -> bool:
        """Tell whether a process died with this cache open, and clear its mark."""
        crashed = False
        for name in os.listdir(self.directory):
            if not name.startswith("open-"):
                continue
            path = os.path.join(self.directory, name)
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(path)
                    crashed = True
                except BlockingIOError:
                    pass
                finally:
                    os.close(descriptor)
        return crashed

    def _leave_mark(self) -> None:
        self._mark_path = os.path.join(self.directory, f"open-{os.getpid()}-{id(self):x}")
        self._mark = os.open(self._mark_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._mark, fcntl.LOCK_EX)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Only one process opens, rebuilds or discards at a time."""
        path = os.path.join(self.directory, "lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _using(self) -> Iterator[None]:
        self._in_use += 1
        try:
            yield
        finally:
            self._in_use -= 1

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            raise self.damaged(error) from error
        except (lmdb.Error, OSError) as error:
            raise CacheError(self.directory, str(error)) from error


def _tag(directory: str) -> None:
    """Mark the directory as a cache (bford.info/cachedir), so that backups can leave it out."""
    try:
        with open(os.path.join(directory, "CACHEDIR.TAG"), "x", encoding="ascii") as file:
            file.write(_CACHE_TAG)
    except FileExistsError:
        pass


def _reserve_lock_file(path: str) -> None:
    """Give LMDB's lock file all its blocks.

    LMDB writes to it through a map: where a full disk has no block for a page, that would end the
    process with SIGBUS.

    Raises:
        OSError: there is no room.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(f"{path}/lock.mdb", flags, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, _LOCK_FILE_SIZE)
    finally:
        os.close(descriptor)


def _acquire(path: str) -> _Environment:
    with _environments_lock:
        environment = _environments.get(path)
        if environment is None:
            os.makedirs(path, mode=0o700, exist_ok=True)
            environment = _environments[path] = _Environment(path)
        environment.users += 1
        return environment


def _release(environment: _Environment) -> None:
    with _environments_lock:
        environment.users -= 1
        if environment.users == 0:
            environment.env.close()
            if _environments.get(environment.path) is environment:
                del _environments[environment.path]
