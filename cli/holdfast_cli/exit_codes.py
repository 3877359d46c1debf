"""Exit codes: what a shell learns of how a command ended.

The numbers are an interface that scripts rely on; docs/cli.md lists them and a test compares.
0, 1, 3, 10, 12 and 130 mean what they mean to other backup programs, 2 is that of wrong usage.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from holdfast import database_errors, errors, storage_errors


class ExitCode(IntEnum):
    """Every code that holdfast ends with."""

    SUCCESS = 0
    FAILURE = 1
    """Anything that has no code of its own, including a reader of our output that went away."""
    USAGE = 2
    """The command line, an environment variable or a file named there makes no sense."""
    FINDINGS = 3
    """Finished, but some source files could not be read or restored exactly."""
    NO_REPOSITORY = 10
    WRONG_KEY = 12
    """No key slot opens with the secret, or the key file is missing or no key file."""
    DAMAGED = 13
    """Stored bytes are not what was stored."""
    DENIED = 20
    """The storage does not allow it, or Object Lock protects the object."""
    CREDENTIALS = 21
    """The storage does not accept the credentials, or there are none."""
    NO_BUCKET = 22
    WRONG_REGION = 23
    CLOCK_SKEW = 24
    ARCHIVED = 25
    UNREACHABLE = 26
    """The storage did not answer, or not properly, however often it was asked."""
    REQUEST_LIMIT = 27
    """--max-requests is used up."""
    UNSAFE_STORAGE = 28
    """The storage does not keep two prunes apart although it seemed to."""
    NOT_MAINTAINER = 29
    """Another host maintains this repository."""
    NO_MOUNT = 30
    """The mount point or FUSE cannot be used."""
    NO_LISTENING = 31
    """The address to serve files on cannot be used."""
    NO_TOOL = 32
    """A program of the database is not installed, or of the wrong version."""
    NO_SERVER = 33
    """No database server answers, or it has no such database."""
    NO_LOGIN = 34
    """The database server refuses the user or the password."""
    DATABASE_FAILED = 35
    """A tool of the database failed; nothing was kept of this run."""
    NOT_EMPTY = 36
    """The database or directory to restore to holds something."""
    NOT_VERIFIED = 37
    """What was restored for a test does not pass it."""
    LOG_CONFLICT = 38
    """A log segment is archived already with other content, or is not what its name says."""
    LOG_GAP = 39
    """Log segments are missing."""
    NO_SEGMENT = 40
    """`wal-fetch` was asked for a file that is not in the archive."""
    NOT_FETCHED = 126
    """`wal-fetch` failed for whatever reason but that the file is not in the archive."""
    INTERRUPTED = 130
    """Ctrl-C, SIGTERM or SIGHUP."""


_BY_CLASS: Final[tuple[tuple[type[errors.HoldfastError], ExitCode], ...]] = (
    (errors.ConfigurationError, ExitCode.USAGE),
    (errors.RepositoryNotFoundError, ExitCode.NO_REPOSITORY),
    (errors.RepositoryVanishedError, ExitCode.NO_REPOSITORY),
    (errors.WrongKeyError, ExitCode.WRONG_KEY),
    (errors.KeyFileError, ExitCode.WRONG_KEY),
    (errors.IntegrityError, ExitCode.DAMAGED),
    (errors.AccessDeniedError, ExitCode.DENIED),
    (storage_errors.CredentialsError, ExitCode.CREDENTIALS),
    (storage_errors.BucketNotFoundError, ExitCode.NO_BUCKET),
    (storage_errors.WrongRegionError, ExitCode.WRONG_REGION),
    (storage_errors.ClockSkewError, ExitCode.CLOCK_SKEW),
    (storage_errors.ArchivedError, ExitCode.ARCHIVED),
    (errors.TransientBackendError, ExitCode.UNREACHABLE),
    (storage_errors.RequestLimitError, ExitCode.REQUEST_LIMIT),
    (errors.UnsafeStorageError, ExitCode.UNSAFE_STORAGE),
    (errors.NotMaintainerError, ExitCode.NOT_MAINTAINER),
    (errors.MountError, ExitCode.NO_MOUNT),
    (errors.ListenError, ExitCode.NO_LISTENING),
    (database_errors.ToolNotFoundError, ExitCode.NO_TOOL),
    (database_errors.ToolVersionError, ExitCode.NO_TOOL),
    (database_errors.ServerUnreachableError, ExitCode.NO_SERVER),
    (database_errors.DatabaseNotFoundError, ExitCode.NO_SERVER),
    (database_errors.LoginError, ExitCode.NO_LOGIN),
    (database_errors.ToolFailedError, ExitCode.DATABASE_FAILED),
    (database_errors.DatabaseNotEmptyError, ExitCode.NOT_EMPTY),
    (database_errors.DatabaseDamagedError, ExitCode.NOT_VERIFIED),
    (database_errors.LogConflictError, ExitCode.LOG_CONFLICT),
    (database_errors.LogSegmentInvalidError, ExitCode.LOG_CONFLICT),
    (database_errors.LogGapError, ExitCode.LOG_GAP),
)


def exit_code_of(error: errors.HoldfastError) -> ExitCode:
    """Return the code a command ends with when it fails with `error`."""
    for error_class, code in _BY_CLASS:
        if isinstance(error, error_class):
            return code
    return ExitCode.FAILURE


def code_for_server(argv: Sequence[str], code: ExitCode) -> ExitCode:
    """Return the code that a command ends with after an error, where PostgreSQL is who calls it.

    A recovering server takes any code from 1 to 125 of its restore_command for "there is no such
    file": it believes that the log has ended, and goes on as a server of its own without what
    came after. Only higher codes make it stop; so whatever keeps `wal-fetch` from its file, a
    misspelt option or a network that is down, must be one. (A code of its own says that there is
    no such file: an interpreter that cannot even start ends with 1.) Of its archive_command it takes codes
    above 125 for the end of the archiver itself, so `wal-push` has none.

    Args:
        argv: words of the command line, which may be the very reason.
        code: of the error.
    """
    if "wal-fetch" in argv and code < ExitCode.NOT_FETCHED:
        return ExitCode.NOT_FETCHED
    if "wal-push" in argv and code >= ExitCode.NOT_FETCHED:
        return ExitCode.FAILURE
    return code
