"""Errors that only storage behind a network knows.

    BackendError
    ├─ AccessDeniedError
    │  └─ LockedError             Object Lock protects the object
    ├─ CredentialsError
    ├─ BucketNotFoundError
    ├─ WrongRegionError
    ├─ ClockSkewError
    ├─ OutOfSpaceError
    │  └─ ScratchFullError        not the storage: this machine's disk
    ├─ ArchivedError              the object must be brought back from an archive first
    └─ RequestLimitError          --max-requests is used up

Each misconfiguration has a class, a sentence and an exit code of its own. As with all errors,
`location` says which storage, `name` which object, `reason` what else is known.
"""

from __future__ import annotations

from datetime import datetime

from holdfast.errors import AccessDeniedError, BackendError, OutOfSpaceError


class LockedError(AccessDeniedError):
    """Object Lock protects the object; `reason` says until when, if that is known."""

    @property
    def until_s(self) -> int | None:
        """When the lock ends, in seconds since 1970 UTC and not before; None if it is not known."""
        try:
            end = datetime.strptime(f"{self.reason} +0000", "until %Y-%m-%d %H:%M UTC %z")
        except ValueError:
            return None
        return int(end.timestamp()) + 60  # the text leaves the seconds out

    def __str__(self) -> str:
        until = f" ({self.reason})" if self.reason else ""
        return (
            f"{self.name} in the storage at {self.location} is protected by Object Lock{until} and "
            "was not deleted; try again when the lock has ended"
        )


class CredentialsError(BackendError):
    """The storage does not know the credentials, or there are none."""

    def __str__(self) -> str:
        return (
            f"the storage at {self.location} does not accept the credentials ({self.reason}); set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with ?profile=NAME"
        )


class BucketNotFoundError(BackendError):
    """There is no such bucket; `name` is the bucket."""

    def __str__(self) -> str:
        return (
            f"the bucket {self.name} does not exist at {self.location}; check its name and the "
            "endpoint, or create it first"
        )


class WrongRegionError(BackendError):
    """The bucket is in another region; `reason` is that region, empty if it is not known."""

    def __str__(self) -> str:
        region = self.reason or "REGION"
        return (
            f"the bucket at {self.location} is in another region; add region={region} to the "
            "options of the location"
        )


class ClockSkewError(BackendError):
    """This machine's clock differs from the storage's by more than the storage accepts."""

    def __str__(self) -> str:
        difference = f" by {self.reason}" if self.reason else ""
        return (
            f"the clock of this machine differs{difference} from that of the storage at "
            f"{self.location}, which refuses requests therefore; set the clock right"
        )


class ScratchFullError(OutOfSpaceError):
    """The directory on this machine where objects wait is full; `location` is that directory."""

    def __str__(self) -> str:
        return (
            f"the scratch directory {self.location} is full ({self.reason} while writing "
            f"{self.name}); free space there, or choose a directory on a larger disk with "
            "--cache-dir, then run the command again"
        )


class ArchivedError(BackendError):
    """The object is in an archive class and cannot be read at once; `reason` names the class."""

    def __str__(self) -> str:
        where = f" ({self.reason})" if self.reason else ""
        return (
            f"{self.name} in the storage at {self.location} is archived{where}; have the provider "
            "restore the objects below packs/ to a readable class, then run the command again"
        )


class RequestLimitError(BackendError):
    """As many requests as --max-requests allows have been made; `reason` is that number."""

    def __str__(self) -> str:
        return (
            f"stopped before {self.name} after {self.reason} requests to the storage at "
            f"{self.location}, as --max-requests says; everything acknowledged so far is safe"
        )
