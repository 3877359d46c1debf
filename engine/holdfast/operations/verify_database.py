"""Verify a database's backup by restoring it: into a server made for nothing else.

A backup that was never restored is a hope. Beside what the database checks itself, the user's own
statements are run, each of which must be true.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.clock import Clock
from holdfast.database_errors import DatabaseError
from holdfast.errors import ConfigurationError
from holdfast.sources.base import ScratchServer, StoredFiles

_TRUE: Final = frozenset(("t", "true", "yes", "on", "ok"))


@dataclass(frozen=True, slots=True)
class Assertion:
    """A statement whose answer must be true: a number other than 0, or a word that says so."""

    database: str
    statement: str


@dataclass(frozen=True, slots=True)
class AssertionOutcome:
    """How an assertion ended."""

    assertion: Assertion
    answer: str
    """The first column of the first row; the server's message if it refused the statement."""
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult:
    """What a verification found."""

    databases: tuple[str, ...]
    problems: tuple[str, ...]
    """Of the database's own checks."""
    outcomes: tuple[AssertionOutcome, ...]
    restore_s: float
    """Seconds that the restore took: what a real one takes at least."""
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing was found and every assertion holds."""
        return not self.problems and all(outcome.holds for outcome in self.outcomes)


def parse_assertion(text: str) -> Assertion:
    """Parse "DATABASE: STATEMENT".

    Raises:
        ConfigurationError: there is no database or no statement.
    """
    database, colon, statement = text.partition(":")
    if not (colon and database.strip() and statement.strip()):
        raise ConfigurationError(
            f"{text!r} is no assertion", "write it like 'shop: SELECT count(*) > 1000 FROM orders'"
        )
    return Assertion(database.strip(), statement.strip())


def is_true(answer: str) -> bool:
    """Tell whether a database's answer means yes: "t", "1", "42", but neither "f", "0" nor ""."""
    text = answer.strip().lower()
    if text in _TRUE:
        return True
    try:
        number = float(text)
    except ValueError:
        return False
    return number != 0 and not math.isnan(number)


def verify_database(
    files: StoredFiles,
    scratch: ScratchServer,
    assertions: Sequence[Assertion],
    *,
    clock: Clock,
    on_progress: Callable[[str, int], None],
) -> VerifyResult:
    """Restore into a scratch server and question it.

    Args:
        files: of the snapshot.
        scratch: not entered yet; it is gone on return.
        assertions: run after the database's own checks.
        clock: measures.
        on_progress: as for `DatabaseTarget.restore`.

    Raises:
        DatabaseError: it could not be restored at all.
        IntegrityError: the repository could not deliver it.
    """
    started_s = clock.monotonic_s()
    with scratch as server:
        target = server.target()
        target.check(files)
        target.restore(files, on_progress)
        server.begin()
        restore_s = clock.monotonic_s() - started_s
        problems = tuple(server.verify())
        outcomes = tuple(_try(server, assertion) for assertion in assertions)
        databases = tuple(server.databases())
    return VerifyResult(
        databases=databases,
        problems=problems,
        outcomes=outcomes,
        restore_s=restore_s,
        seconds=clock.monotonic_s() - started_s,
    )


def _try(server: ScratchServer, assertion: Assertion) -> AssertionOutcome:
    try:
        answer = server.ask(assertion.database, assertion.statement)
    except DatabaseError as error:
        return AssertionOutcome(assertion, str(error), holds=False)
    return AssertionOutcome(assertion, answer, is_true(answer))
