"""The cache: rebuilt whatever happened to it, never believed, shared by processes."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import lmdb
import pytest

from holdfast.backends.local import LocalBackend
from holdfast.errors import CacheError
from holdfast.ids import BlobId
from holdfast.repository import cache as cache_module
from holdfast.repository.cache import Cache
from support.sessions import create, open_repository, store_blobs

ROOT = Path(__file__).parents[3]
BLOBS = [b"blob %d" % number for number in range(400)]


def put(cache: Cache, key: bytes, value: bytes) -> None:
    with cache.writing() as transaction:
        transaction.put(key, value, db=cache.database(b"snapshots"))


def get(cache: Cache, key: bytes) -> bytes | None:
    with cache.reading() as transaction:
        found: bytes | None = transaction.get(key, db=cache.database(b"snapshots"))
    return found


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        env={"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "engine", ROOT / "tests")))},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_what_is_put_is_there_when_opened_again(tmp_path: Path) -> None:
    directory = str(tmp_path / "a" / "b")
    cache = Cache(directory)
    put(cache, b"key", b"value")
    cache.close()
    cache.close()
    cache = Cache(directory)
    assert get(cache, b"key") == b"value"
    cache.close()
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(f"{directory}/lmdb/data.mdb").st_mode) == 0o600
    assert not [name for name in os.listdir(directory) if name.startswith("open-")]


def test_another_schema_is_discarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(str(tmp_path))
    put(cache, b"key", b"value")
    cache.close()
    monkeypatch.setattr(cache_module, "SCHEMA", b"next")
    cache = Cache(str(tmp_path))
    assert get(cache, b"key") is None
    cache.close()


@pytest.mark.parametrize("length", [0, 1, 4095, 4096, 8192, 12_288, 20_000])
def test_a_file_that_was_cut_off_is_discarded(length: int, tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    for number in range(50):
        put(cache, b"key %d" % number, b"value" * 1000)
    cache.close()
    os.truncate(tmp_path / "lmdb" / "data.mdb", length)
    cache = Cache(str(tmp_path))
    assert get(cache, b"key 1") is None
    put(cache, b"key", b"value")
    cache.close()


def test_garbage_in_place_of_the_file_is_discarded(tmp_path: Path) -> None:
    Cache(str(tmp_path)).close()
    (tmp_path / "lmdb" / "data.mdb").write_bytes(random.Random(1).randbytes(50_000))
    cache = Cache(str(tmp_path))
    put(cache, b"key", b"value")
    assert get(cache, b"key") == b"value"
    cache.close()


def test_damage_that_was_met_is_gone_with_the_next_opening(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    put(cache, b"key", b"value")

    def meet() -> None:
        with cache.reading():
            raise lmdb.CorruptedError("page of the wrong type")

    with pytest.raises(CacheError, match="damaged"):
        meet()
    cache.close()
    cache = Cache(str(tmp_path))
    assert get(cache, b"key") is None
    cache.close()


def test_a_directory_that_cannot_be_used_is_an_error_of_the_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError):
        Cache(str(tmp_path / "file" / "cache"))


def test_rebuilding_replaces_the_content(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    put(cache, b"old", b"value")
    with cache.rebuilding() as fresh, fresh.env.begin(write=True) as transaction:
        transaction.put(b"new", b"value", db=fresh.databases[b"snapshots"])
    assert get(cache, b"old") is None
    assert get(cache, b"new") == b"value"
    cache.close()
    cache = Cache(str(tmp_path))
    assert get(cache, b"new") == b"value"
    cache.close()
    assert sorted(os.listdir(tmp_path)) == ["CACHEDIR.TAG", "lmdb", "lock"]


def test_rebuilding_that_fails_leaves_the_old_content(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    put(cache, b"old", b"value")

    def fail() -> None:
        with cache.rebuilding():
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert get(cache, b"old") == b"value"
    cache.close()
    assert sorted(os.listdir(tmp_path)) == ["CACHEDIR.TAG", "lmdb", "lock"]


def test_rebuilding_while_another_of_this_process_has_it_open(tmp_path: Path) -> None:
    one, other = Cache(str(tmp_path)), Cache(str(tmp_path))
    put(one, b"old", b"value")
    with one.rebuilding() as fresh, fresh.env.begin(write=True) as transaction:
        transaction.put(b"new", b"value", db=fresh.databases[b"snapshots"])
    assert get(one, b"new") == b"value"
    assert get(one, b"old") is None
    assert get(other, b"old") == b"value", "it keeps what it had open"
    other.close()
    third = Cache(str(tmp_path))
    assert get(third, b"new") == b"value"
    third.close()
    one.close()


def test_remapping_keeps_the_content(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    put(cache, b"key", b"value")
    cache.remap()
    assert get(cache, b"key") == b"value"
    other = Cache(str(tmp_path))
    cache.remap()
    put(cache, b"key", b"later")
    assert get(other, b"key") == b"later"
    other.close()
    cache.close()


HOLD = """
    import os, signal, sys
    from holdfast.repository.cache import Cache
    cache = Cache(sys.argv[1])
    with cache.writing() as transaction:
        transaction.put(b"key", b"value", db=cache.database(b"snapshots"))
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    print("ready", flush=True)
    sys.stdin.read()
    cache.close()
"""


def test_after_a_process_died_with_it_open_it_is_built_anew(tmp_path: Path) -> None:
    assert run(HOLD, str(tmp_path), "die").returncode == -signal.SIGKILL
    assert [name for name in os.listdir(tmp_path) if name.startswith("open-")]
    cache = Cache(str(tmp_path))
    assert get(cache, b"key") is None
    put(cache, b"key", b"value")
    cache.close()
    cache = Cache(str(tmp_path))
    assert get(cache, b"key") == b"value", "the mark is cleared"
    cache.close()


def test_two_processes_share_it(tmp_path: Path) -> None:
    program = [sys.executable, "-c", textwrap.dedent(HOLD), str(tmp_path), "wait"]
    environment = {"PYTHONPATH": str(ROOT / "engine")}
    with subprocess.Popen(
        program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"ready\n"
        cache = Cache(str(tmp_path))
        assert get(cache, b"key") == b"value", "a living process is no dead one"
        put(cache, b"other", b"value")
        with cache.rebuilding():
            pass
        assert get(cache, b"key") is None
        cache.close()
        other.stdin.close()
        assert other.wait(30) == 0


USE = """
    import sys
    from support.sessions import open_repository
    from pathlib import Path
    from holdfast.backends.local import LocalBackend
    from holdfast.errors import HoldfastError
    from holdfast.ids import BlobId
    ids = [bytes.fromhex(line) for line in open(sys.argv[3])]
    try:
        with open_repository(LocalBackend(sys.argv[1]), Path(sys.argv[2])) as repository:
            index = repository.load_index()
            print("known", sum(index.contains(blob_id) for blob_id in ids))
            repository.snapshots()
    except HoldfastError as error:
        print("error", error)
"""


def test_random_damage_ends_in_a_rebuild_at_the_latest_with_the_next_opening(
    tmp_path: Path,
) -> None:
    """LMDB may abort or fault on damaged pages; what counts is that this ends by itself."""
    store, cache, ids_file = (str(tmp_path / name) for name in ("store", "cache", "ids"))
    backend = create(LocalBackend(store))
    with open_repository(backend, Path(cache)) as repository:
        ids: list[BlobId] = store_blobs(repository, BLOBS)
        data_file = Path(repository.cache.directory) / "lmdb" / "data.mdb"
    Path(ids_file).write_text("\n".join(blob_id.hex() for blob_id in ids))
    whole = data_file.read_bytes()
    pages = len(whole) // 4096
    for seed in range(5):
        chance = random.Random(seed)
        damaged = bytearray(whole)
        for page in [seed % 2, *chance.sample(range(pages), min(4, pages))]:
            at = page * 4096
            damaged[at : at + 64] = chance.randbytes(64)
        data_file.write_bytes(damaged)
        first = run(USE, store, cache, ids_file)
        assert "Traceback" not in first.stderr, first.stderr
        if first.stdout.startswith("known"):
            continue  # the damage was not met, or noticed and repaired
        assert first.returncode < 0 or first.stdout.startswith("error"), first
        again = run(USE, store, cache, ids_file)
        assert again.stdout == f"known {len(BLOBS)}\n", again
