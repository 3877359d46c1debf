"""Exit codes: what a shell learns of how a command ended.

The numbers are an interface that scripts rely on; docs/cli.md lists them and a test compares.
0, 1, 3, 10, 12 and 130 mean what they mean to other backup programs, 2 is that of wrong usage.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from holdfast import errors, storage_errors


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
)


def exit_code_of(error: errors.HoldfastError) -> ExitCode:
    """Return the code a command ends with when it fails with `error`."""
    for error_class, code in _BY_CLASS:
        if isinstance(error, error_class):
            return code
    return ExitCode.FAILURE
