"""Secrets: key files that are safe and whole, recovery words that are typed right."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.crypto.secrets import (
    KeyFile,
    Password,
    RecoveryKey,
    describe,
    parse_recovery_words,
    read_key_file,
    recovery_words,
    write_key_file,
)
from holdfast.errors import KeyFileError

TEXT = "holdfast-key-v1:" + "ab" * 32


def key_file(directory: Path, text: str | bytes, mode: int = 0o600) -> str:
    path = directory / "key"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return str(path)


def test_key_file_round_trip(tmp_path: Path) -> None:
    path = str(tmp_path / "key")
    written = write_key_file(path)
    assert read_key_file(path) == written
    assert len(written.key) == 32
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert write_key_file(str(tmp_path / "other")) != written


def test_key_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_key_file(str(tmp_path / "key"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(tmp_path / "key").st_mode) == 0o600


def test_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = key_file(tmp_path, TEXT)
    with pytest.raises(KeyFileError, match="exists"):
        write_key_file(path)
    assert read_key_file(path) == KeyFile(b"\xab" * 32)


def test_key_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError):
        write_key_file(str(tmp_path / "link"))
    assert not (tmp_path / "elsewhere").exists()


def test_key_file_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(KeyFileError, match="no space"):
        write_key_file(str(tmp_path / "key"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
def test_key_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_key_file(key_file(tmp_path, TEXT, mode))


def test_read_only_key_file_with_line_end_is_fine(tmp_path: Path) -> None:
    assert read_key_file(key_file(tmp_path, TEXT + "\r\n", 0o400)) == KeyFile(b"\xab" * 32)


@pytest.mark.parametrize(
    "text",
    ["", "ab" * 32, "holdfast-key-v1:", TEXT[:-2], TEXT + "ab", TEXT.replace("a", "x"),
     "holdfast-key-v2:" + "ab" * 32, b"\xff\xfe" + b"a" * 80],
)  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(KeyFileError, match="not a holdfast key file"):
        read_key_file(key_file(tmp_path, text))


def test_missing_key_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="no such file"):
        read_key_file(str(tmp_path / "none"))
    with pytest.raises(KeyFileError, match="directory"):
        read_key_file(str(tmp_path))


def test_secrets_are_not_shown() -> None:
    shown = repr([Password("hush"), KeyFile(b"hush" * 8), RecoveryKey(b"hush" * 8)])
    assert "hush" not in shown
    assert [describe(s) for s in (Password(""), KeyFile(b""), RecoveryKey(b""))] == [
        "password", "key file", "recovery key",
    ]  # fmt: skip


@given(st.binary(min_size=32, max_size=32))
def test_recovery_words_round_trip(seed: bytes) -> None:
    words = recovery_words(RecoveryKey(seed))
    assert len(words.split()) == 24
    assert parse_recovery_words(words) == RecoveryKey(seed)


def test_wrong_recovery_words_are_refused() -> None:
    words = recovery_words(RecoveryKey(bytes(range(32)))).split()
    swapped = [words[1], words[0], *words[2:]]
    unknown = ["xyzzy", *words[1:]]
    for wrong in (words[:23], [*words, words[0]], swapped, unknown, [], words[:12]):
        with pytest.raises(KeyFileError):
            parse_recovery_words(" ".join(wrong))


def test_a_shorter_phrase_with_a_right_checksum_is_refused() -> None:
    phrase = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    with pytest.raises(KeyFileError, match="24 words"):
        parse_recovery_words(phrase)
