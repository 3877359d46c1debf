"""Every error the engine raises on purpose.

    HoldfastError                    never raised itself
    ├─ ConfigurationError            an option, location or policy makes no sense
    │  └─ MissingExtraError          a feature needs a package that is not installed
    ├─ BackendError                  the storage refused or failed
    │  ├─ NotFoundError
    │  ├─ AlreadyExistsError
    │  ├─ AccessDeniedError
    │  ├─ OutOfSpaceError
    │  ├─ TransientBackendError      the only kind that a retry may repeat
    │  └─ …                          those of storage behind a network: `storage_errors`
    ├─ RepositoryError
    │  ├─ RepositoryNotFoundError
    │  ├─ RepositoryExistsError
    │  ├─ UnsupportedVersionError
    │  ├─ WrongKeyError
    │  ├─ KeyFileError
    │  ├─ KeySlotError
    │  ├─ SnapshotNotFoundError
    │  ├─ AmbiguousSnapshotError
    │  ├─ PathNotFoundError
    │  ├─ CommitVoidError            prune went on while a writer did not
    │  ├─ ForgetFinalError
    │  ├─ PruneBusyError
    │  ├─ UnsafeStorageError         the storage lies about create-if-absent
    │  ├─ NotMaintainerError
    │  ├─ RepositoryVanishedError    it went away while it was in use
    │  └─ CacheError                 the local cache is unusable
    ├─ IntegrityError                stored bytes are not what was stored
    │  ├─ FormatError
    │  ├─ AuthenticationError
    │  ├─ HashMismatchError
    │  └─ MissingBlobError
    ├─ SourceError                   a source of a backup cannot be used at all
    │  └─ CommandFailedError         --stdin-from-command ended with an error
    ├─ TargetError                   the place to restore to cannot be used
    │  └─ TargetNotEmptyError
    ├─ MountError                    the mount point, or FUSE, cannot be used
    └─ ListenError                   the address to serve on cannot be used

An error carries fields; its text is made here and says what happened, to which thing, and what
to do next. Whatever bytes a repository serves, reading them raises `IntegrityError` and nothing
else. Problems with single source files are not errors but findings (`holdfast.findings`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


class HoldfastError(Exception):
    """Base of all errors of the engine; subclasses are dataclasses with a text of their own."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the fields: errors cross process borders."""
        values = tuple(getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]
        return (type(self), values)


@dataclass(eq=False)
class ConfigurationError(HoldfastError):
    """An option, location, pattern or policy makes no sense."""

    what: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.what}; {self.hint}" if self.hint else self.what


class MissingExtraError(ConfigurationError):
    """A feature needs an optional package; `what` is the feature, `hint` the extra's name."""

    def __str__(self) -> str:
        return (
            f"{self.what} needs an optional package; install it with: pip install "
            f"'holdfast[{self.hint}]'"
        )


@dataclass(eq=False)
class BackendError(HoldfastError):
    """The storage at `location` failed while it worked on the object `name`."""

    location: str
    name: str
    reason: str = ""

    def __str__(self) -> str:
        return f"storage at {self.location} failed on {self.name}: {self.reason}"


class NotFoundError(BackendError):
    """No object of that name exists."""

    def __str__(self) -> str:
        return (
            f"{self.name} is not in the storage at {self.location}; run `holdfast check` to "
            "see what is affected"
        )


class AlreadyExistsError(BackendError):
    """An object of that name exists already; it was left as it is."""

    def __str__(self) -> str:
        return (
            f"{self.name} exists already in the storage at {self.location}; nothing was overwritten"
        )


class AccessDeniedError(BackendError):
    """The storage does not allow this."""

    def __str__(self) -> str:
        return (
            f"no permission for {self.name} in the storage at {self.location}; check the "
            "owner and mode or the credentials"
        )


class OutOfSpaceError(BackendError):
    """The storage is full."""

    def __str__(self) -> str:
        return (
            f"the storage at {self.location} is full ({self.reason} while writing {self.name}); "
            "everything acknowledged so far is safe. Free space there, then run the command again"
        )


class TransientBackendError(BackendError):
    """A failure that may pass by itself: time-outs, resets, servers that are busy."""

    def __str__(self) -> str:
        return (
            f"storage at {self.location} did not answer properly for {self.name} "
            f"({self.reason}); try again later"
        )


class RepositoryError(HoldfastError):
    """Base of errors about a repository as a whole; never raised itself."""


@dataclass(eq=False)
class RepositoryNotFoundError(RepositoryError):
    """The location holds no repository."""

    location: str

    def __str__(self) -> str:
        return (
            f"no repository at {self.location}; check the location, or create one with "
            f"`holdfast -r {self.location} init`"
        )


@dataclass(eq=False)
class RepositoryExistsError(RepositoryError):
    """`init` found something at the location already; `reason` says what."""

    location: str
    reason: str

    def __str__(self) -> str:
        return (
            f"cannot create a repository at {self.location}: {self.reason}; choose another location"
        )


@dataclass(eq=False)
class UnsupportedVersionError(RepositoryError):
    """The repository was written by a version of the format that this program does not know."""

    location: str
    found: int
    supported: int

    def __str__(self) -> str:
        return (
            f"the repository at {self.location} has format version {self.found}, this program "
            "knows up to "
            f"{self.supported}; install a newer holdfast"
        )


@dataclass(eq=False)
class WrongKeyError(RepositoryError):
    """No key slot opens with the secret that was given; `tried` names the kind of secret."""

    location: str
    tried: str

    def __str__(self) -> str:
        return f"wrong {self.tried} for the repository at {self.location}; nothing was changed"


@dataclass(eq=False)
class KeyFileError(RepositoryError):
    """A key file is missing, unreadable or not a key file."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"cannot use the key file {self.path}: {self.reason}"


@dataclass(eq=False)
class KeySlotError(RepositoryError):
    """A change to the key slots that must not or cannot be made."""

    what: str
    hint: str

    def __str__(self) -> str:
        return f"{self.what}; {self.hint}"


@dataclass(eq=False)
class SnapshotNotFoundError(RepositoryError):
    """No snapshot fits the name; `filters` describes the filters in force, empty if none."""

    name: str
    filters: str = ""

    def __str__(self) -> str:
        suffix = f" that matches {self.filters}" if self.filters else ""
        if self.name == "latest":
            return f"there is no snapshot yet{suffix}; `holdfast backup PATH` makes one"
        return f"no snapshot is named {self.name}{suffix}; `holdfast snapshots` lists them"


@dataclass(eq=False)
class AmbiguousSnapshotError(RepositoryError):
    """More than one snapshot fits an id prefix."""

    name: str
    candidates: tuple[str, ...]

    def __str__(self) -> str:
        shown = ", ".join(candidate[:12] for candidate in self.candidates[:5])
        more = " …" if len(self.candidates) > 5 else ""
        return (
            f"{self.name} fits {len(self.candidates)} snapshots ({shown}{more}); give more digits"
        )


@dataclass(eq=False)
class PathNotFoundError(RepositoryError):
    """A snapshot holds no such path; nor does any, if `snapshot` is empty."""

    snapshot: str
    path: str

    def __str__(self) -> str:
        if not self.snapshot:
            return f"{self.path} is not there; `holdfast snapshots` shows what is"
        return (
            f"{self.path} is not in snapshot {self.snapshot[:12]}; `holdfast ls "
            f"{self.snapshot[:12]}` shows what is"
        )


@dataclass(eq=False)
class CommitVoidError(RepositoryError):
    """Prune went on without a commit: nobody relies on it, and it is made anew or given up.

    `what` is what was to be committed.
    """

    what: str

    def __str__(self) -> str:
        return (
            f"{self.what} was overtaken by `holdfast prune` and is not saved; run the command again"
        )


@dataclass(eq=False)
class ForgetFinalError(RepositoryError):
    """A forgotten snapshot cannot be brought back."""

    snapshot: str
    reason: str

    def __str__(self) -> str:
        return f"snapshot {self.snapshot[:12]} cannot be brought back: {self.reason}"


@dataclass(eq=False)
class PruneBusyError(RepositoryError):
    """Other prunes were always faster."""

    location: str

    def __str__(self) -> str:
        return (
            f"others are pruning the repository at {self.location} right now; nothing was removed "
            "twice, run prune again later"
        )


@dataclass(eq=False)
class UnsafeStorageError(RepositoryError):
    """The storage replaced an object that it was to create only if absent; `what` was refused."""

    location: str
    what: str

    def __str__(self) -> str:
        return (
            f"the storage at {self.location} overwrites objects that it was told to create only if "
            f"absent, which `init` did not see; {self.what} is refused, since two of them at once "
            "could lose data. `holdfast doctor` shows what the storage does"
        )


@dataclass(eq=False)
class NotMaintainerError(RepositoryError):
    """Only one host may prune a repository on such storage, and this is another."""

    location: str
    maintainer: str
    host: str

    def __str__(self) -> str:
        return (
            f"only {self.maintainer} may prune the repository at {self.location}, since its "
            f"storage cannot keep two prunes apart, and this is {self.host}; run it there, or "
            "give --as-maintainer if that host will never prune again"
        )


@dataclass(eq=False)
class RepositoryVanishedError(RepositoryError):
    """The repository went away while it was in use: its disk, its directory or its bucket."""

    location: str

    def __str__(self) -> str:
        return (
            f"the repository at {self.location} has gone away while it was in use; make it "
            "available again, then run the command again"
        )


@dataclass(eq=False)
class CacheError(RepositoryError):
    """The local cache cannot be used."""

    path: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the cache at {self.path} cannot be used: {self.reason}; remove it or choose "
            "another with --cache-dir"
        )


@dataclass(eq=False)
class IntegrityError(HoldfastError):
    """Stored bytes are not what was stored. `kind` and `name` say which object."""

    kind: str
    name: str
    reason: str = ""

    def __str__(self) -> str:
        detail = f" ({self.reason})" if self.reason else ""
        return (
            f"{self.kind} {self.name} is damaged{detail}; run `holdfast check --read-data` to "
            "see which files are affected"
        )


class FormatError(IntegrityError):
    """Bytes that cannot be what docs/format.md says, including truncated ones."""


class AuthenticationError(IntegrityError):
    """Bytes that were not sealed with this repository's keys, or for another name."""


class HashMismatchError(IntegrityError):
    """Bytes whose checksum or id differs from the recorded one."""


class MissingBlobError(IntegrityError):
    """A blob that is referred to is in no pack; `reason` names the referrer."""

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.name} is missing ({self.reason}); run `holdfast check` to see "
            "which files are affected"
        )


@dataclass(eq=False)
class SourceError(HoldfastError):
    """A source named on the command line cannot be backed up at all."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"cannot back up {self.path}: {self.reason}; no snapshot was made"


class CommandFailedError(SourceError):
    """The command whose output is backed up failed; `path` is the command, `reason` how it ended."""

    def __str__(self) -> str:
        return (
            f"the command `{self.path}` failed ({self.reason}); its output was not kept as a "
            "snapshot"
        )


@dataclass(eq=False)
class TargetError(HoldfastError):
    """The place to restore to cannot be used."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"cannot restore to {self.path}: {self.reason}"


class TargetNotEmptyError(TargetError):
    """A restore into a directory with content, without a word on what to overwrite."""

    def __str__(self) -> str:
        return (
            f"{self.path} is not empty; choose an empty target, or say what may be "
            "overwritten with "
            "--overwrite always, if-changed, if-newer or never"
        )


@dataclass(eq=False)
class MountError(HoldfastError):
    """Snapshots cannot be shown as a file system at `path`."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"cannot mount on {self.path}: {self.reason}"


@dataclass(eq=False)
class ListenError(HoldfastError):
    """Files cannot be served on `address`."""

    address: str
    reason: str

    def __str__(self) -> str:
        return (
            f"cannot listen on {self.address}: {self.reason}; choose another address or port "
            "with --listen"
        )
