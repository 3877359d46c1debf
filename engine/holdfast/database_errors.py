"""What goes wrong between this program, the tools of a database, and its server.

    HoldfastError
    ├─ DatabaseError                 never raised itself
    │  ├─ ToolNotFoundError          a program of the database is not installed
    │  ├─ ToolVersionError           it is, in a version that cannot do this
    │  ├─ ServerUnreachableError     nobody answers there
    │  ├─ LoginError                 the server refuses the user or the password
    │  ├─ ToolFailedError            a tool began and did not end well
    │  ├─ DatabaseNotFoundError      the server has no such database
    │  ├─ DatabaseNotEmptyError      the place to restore to holds something
    │  └─ DatabaseDamagedError       what was saved does not pass what it was to pass
    └─ LogError                      never raised itself
       ├─ LogConflictError           a segment of that name holds other bytes
       ├─ LogSegmentNotFoundError    there is no segment of that name
       ├─ LogSegmentInvalidError     a file is not the segment that its name says
       └─ LogGapError                segments are missing that a point in time needs

Messages of tools are passed on, since nobody knows better what went wrong; they hold no password,
since none was ever on a command line.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.errors import HoldfastError


@dataclass(eq=False)
class DatabaseError(HoldfastError):
    """Base of errors about a database; `subject` is the tool, the server or the database."""

    subject: str
    reason: str = ""


class ToolNotFoundError(DatabaseError):
    """A program that belongs to the database is not installed; `reason` names its package."""

    def __str__(self) -> str:
        hint = f"install {self.reason}" if self.reason else "install it"
        return (
            f"the program {self.subject} was not found; {hint}, or name its directory with --tools"
        )


class ToolVersionError(DatabaseError):
    """A tool is too old or too new for this; `reason` says for what."""

    def __str__(self) -> str:
        return f"{self.subject} cannot be used here: {self.reason}"


class ServerUnreachableError(DatabaseError):
    """No server answers at `subject`."""

    def __str__(self) -> str:
        return (
            f"no database server answers at {self.subject} ({self.reason}); start it, or correct "
            "--db-host and --db-port"
        )


class LoginError(DatabaseError):
    """The server at `subject` does not let us in."""

    def __str__(self) -> str:
        return (
            f"the database server at {self.subject} refused the login ({self.reason}); check the user "
            "and the password file of the database's own tools, as docs/databases.md says"
        )


@dataclass(eq=False)
class ToolFailedError(DatabaseError):
    """A tool failed while it worked; `reason` says how it ended, `said` what it said last."""

    said: str = ""

    def __str__(self) -> str:
        said = f": {self.said}" if self.said else ""
        return (
            f"{self.subject} failed ({self.reason}){said}; correct that and run the command again"
        )


class DatabaseNotFoundError(DatabaseError):
    """There is no database of that name; `reason` says where."""

    def __str__(self) -> str:
        return f"there is no database {self.subject} {self.reason}".rstrip() + "; check the name"


class DatabaseNotEmptyError(DatabaseError):
    """What a restore would write to holds something already; `reason` says what."""

    def __str__(self) -> str:
        return (
            f"{self.subject} is not empty ({self.reason}) and was left as it is; restore to another "
            "place, or add --overwrite to replace what is there"
        )


class DatabaseDamagedError(DatabaseError):
    """What was saved of a database is not what can be restored; `reason` says why."""

    def __str__(self) -> str:
        return f"the backup of {self.subject} cannot be restored as it is: {self.reason}"


@dataclass(eq=False)
class LogError(HoldfastError):
    """Base of errors about archived log segments; `name` is the segment's."""

    name: str
    reason: str = ""


class LogConflictError(LogError):
    """A segment of that name is in the archive with other bytes."""

    def __str__(self) -> str:
        return (
            f"the log segment {self.name} is archived already with other content; nothing was "
            "overwritten. Two servers may be archiving as one: give each its own repository or make "
            "the one that was restored go on with a timeline of its own"
        )


class LogSegmentNotFoundError(LogError):
    """No segment of that name is in the archive."""

    def __str__(self) -> str:
        return f"the log segment {self.name} is not in the archive"


class LogSegmentInvalidError(LogError):
    """A file that was to be archived is not what its name says."""

    def __str__(self) -> str:
        return f"{self.name} was not archived: {self.reason}"


class LogGapError(LogError):
    """Segments are missing between a base backup and the moment that is wanted."""

    def __str__(self) -> str:
        return (
            f"the log segment {self.name} is missing ({self.reason}), so nothing after it can be "
            "restored; choose an earlier moment or another base backup. `holdfast logs` shows what is "
            "there"
        )
