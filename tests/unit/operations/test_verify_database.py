"""Verification: a scratch server in the right order, gone whatever happens, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import pytest

from holdfast.database_errors import DatabaseError, DatabaseNotFoundError, ToolFailedError
from holdfast.errors import ConfigurationError, IntegrityError
from holdfast.operations.verify_database import (
    Assertion,
    AssertionOutcome,
    VerifyResult,
    parse_assertion,
    verify_database,
)
from holdfast.sources.base import DatabaseTarget, ScratchServer, StoredFiles
from support.sessions import FakeClock

FILES = cast(StoredFiles, object())
"""Is only passed on."""


class RecordingServer:
    """Writes down what is done to it; a step that is in `failures` raises.

    It is the scratch server and its own target.
    """

    def __init__(
        self,
        failures: Mapping[str, BaseException] | None = None,
        problems: Sequence[str] = (),
        answers: Mapping[str, str] | None = None,
    ) -> None:
        self.steps: list[str] = []
        self._failures = failures or {}
        self._problems = problems
        self._answers = answers or {}

    def _do(self, step: str) -> None:
        self.steps.append(step)
        if step in self._failures:
            raise self._failures[step]

    def __enter__(self) -> RecordingServer:
        self._do("start")
        return self

    def __exit__(self, *_: object) -> None:
        self.steps.append("end")

    def target(self) -> DatabaseTarget:
        return cast(DatabaseTarget, self)

    def check(self, files: StoredFiles) -> None:
        assert files is FILES
        self._do("check")

    def restore(self, files: StoredFiles, on_progress: Callable[[str, int], None]) -> Sequence[str]:
        assert files is FILES
        self._do("restore")
        on_progress("shop", 7)
        return ["look"]

    def begin(self) -> None:
        self._do("begin")

    def databases(self) -> Sequence[str]:
        self._do("databases")
        return ["crm", "shop"]

    def ask(self, database: str, statement: str) -> str:
        self._do(f"ask {database}")
        if statement not in self._answers:
            raise DatabaseNotFoundError(database, "in the scratch server")
        return self._answers[statement]

    def verify(self) -> Sequence[str]:
        self._do("verify")
        return self._problems


def verify(server: RecordingServer, *assertions: Assertion) -> VerifyResult:
    """Verify with a clock of which each look takes a second."""
    progress: list[tuple[str, int]] = []
    result = verify_database(
        FILES,
        cast(ScratchServer, server),
        assertions,
        clock=FakeClock(step_s=1.0),
        on_progress=lambda label, size: progress.append((label, size)),
    )
    assert progress == [("shop", 7)]
    return result


def test_everything_in_order() -> None:
    server = RecordingServer(answers={"one": "1", "many": " 42\n"})
    asked = [Assertion("shop", "one"), Assertion("crm", "many")]
    result = verify(server, *asked)
    assert server.steps == [
        "start", "check", "restore", "begin", "verify", "ask shop", "ask crm", "databases", "end",
    ]  # fmt: skip
    assert result.ok
    assert result.databases == ("crm", "shop")
    assert result.outcomes == (
        AssertionOutcome(asked[0], "1", holds=True),
        AssertionOutcome(asked[1], " 42\n", holds=True),
    )
    assert 0 < result.restore_s < result.seconds


def test_what_does_not_hold_does_not_keep_the_rest_from_being_asked() -> None:
    server = RecordingServer(answers={"none": "", "no": "f", "yes": "t"})
    asked = [Assertion("shop", word) for word in ("none", "no", "refused", "yes")]
    result = verify(server, *asked)
    assert not result.ok
    assert [one.holds for one in result.outcomes] == [False, False, False, True]
    assert [one.answer for one in result.outcomes[:2]] == ["", "f"]
    assert "there is no database shop" in result.outcomes[2].answer
    assert not verify(RecordingServer(problems=["an index is corrupt"])).ok
    assert verify(RecordingServer()).ok


@pytest.mark.parametrize("step", ["check", "restore", "begin", "verify", "databases", "ask shop"])
@pytest.mark.parametrize(
    "error", [ToolFailedError("initdb", "exit code 1"), IntegrityError("blob", "x"), KeyboardInterrupt()]
)  # fmt: skip
def test_the_server_is_gone_whatever_happens(step: str, error: BaseException) -> None:
    server = RecordingServer({step: error})
    if step == "ask shop" and isinstance(error, DatabaseError):
        assert not verify(server, Assertion("shop", "x")).ok
    else:
        with pytest.raises(type(error)):
            verify_database(
                FILES,
                cast(ScratchServer, server),
                [Assertion("shop", "x")],
                clock=FakeClock(),
                on_progress=lambda label, size: None,
            )
        assert server.steps[-2] == step
    assert server.steps[-1] == "end"


def test_assertions_as_they_are_written() -> None:
    assert parse_assertion("shop: SELECT a::int > 1") == Assertion("shop", "SELECT a::int > 1")
    assert parse_assertion("  a b:x ") == Assertion("a b", "x")
    for text in ("", ":", "shop", "shop:", "shop:  ", ": SELECT 1"):
        with pytest.raises(ConfigurationError, match="is no assertion"):
            parse_assertion(text)
