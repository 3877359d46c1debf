"""Sessions: who is writing, told to whoever prunes.

Advice only. A pruner that waits for sessions spares them work; one that does not wait, or sees none
where there is one, costs them a repetition and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from holdfast.backends.base import Backend
from holdfast.clock import Clock
from holdfast.errors import BackendError, IntegrityError, NotFoundError
from holdfast.format.envelope import Envelope, ObjectKind
from holdfast.format.marks import SessionMark, decode_session, encode_mark
from holdfast.ids import ObjectId, new_object_id
from holdfast.repository import layout

ANNOUNCE_S: Final = 60
"""A session that has written nothing by then is announced all the same: somebody might prune."""
RENEW_S: Final = 30 * 60
"""A session says this often that it is still there."""
LEASE_S: Final = 24 * 3600
"""A session that has not been heard of for so long is taken for dead: a day of sleep costs a
laptop nothing but, perhaps, a repetition."""


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session as prune sees it."""

    name: str
    """Of the object."""
    mark: SessionMark
    modified_s: float
    """When it was last heard of, by the storage's clock, seconds since 1970 UTC."""


class Session:
    """One writer's announcement; renewed now and then. For one thread.

    Most nightly runs find little or nothing new and are over at once. They announce nothing: two
    requests saved, and at worst a prune in that minute costs them a repetition.

    Args:
        session_id: names the run's journal too.
        host: of the writer.
        view: of the log of prune.
    """

    def __init__(
        self,
        backend: Backend,
        envelope: Envelope,
        clock: Clock,
        *,
        session_id: ObjectId,
        host: str,
        view: int,
    ) -> None:
        self._backend = backend
        self._envelope = envelope
        self._clock = clock
        self._mark = SessionMark(
            session_id=session_id, started_ns=clock.now_ns(), host=host, view=view
        )
        self._name: str | None = None
        self._heard_s = clock.monotonic_s()

    def begin(self) -> None:
        """Announce the session unless that has been done: something is about to be written.

        Raises:
            BackendError: the storage cannot be written to.
        """
        if self._name is None:
            self.announce()

    def announce(self) -> None:
        """Tell that the session is there, under a new name; the old announcement goes.

        Raises:
            BackendError: the storage cannot be written to.
        """
        old, self._name = self._name, layout.session_name(new_object_id())
        self._heard_s = self._clock.monotonic_s()
        sealed = self._envelope.seal(ObjectKind.SESSION, self._name, encode_mark(self._mark))
        self._backend.create(self._name, sealed)
        if old is not None:
            delete_quietly(self._backend, old)

    def renew(self) -> None:
        """Announce again if it is time to; a failure is not worth ending a backup for."""
        silent_s = self._clock.monotonic_s() - self._heard_s
        if silent_s >= (ANNOUNCE_S if self._name is None else RENEW_S):
            try:
                self.announce()
            except BackendError:
                pass

    def end(self) -> None:
        """Take the announcement back, if the storage allows that."""
        if self._name is not None:
            delete_quietly(self._backend, self._name)
            self._name = None


def list_sessions(backend: Backend, envelope: Envelope) -> list[LiveSession]:
    """Return all announced sessions; one that cannot be read is passed over."""
    found = []
    for info in backend.list(layout.SESSIONS):
        try:
            body = envelope.open(ObjectKind.SESSION, info.name, backend.read(info.name))
            mark = decode_session(body, info.name)
        except (NotFoundError, IntegrityError):
            continue
        found.append(LiveSession(info.name, mark, info.modified_s))
    return found


def blocking(
    sessions: Collection[LiveSession], *, cycle: int, dead: Collection[str], now_s: float
) -> list[LiveSession]:
    """Return the sessions that may build upon what a cycle condemns.

    Args:
        sessions: all.
        cycle: number of the cycle's CONDEMN.
        dead: ids of sessions that are known to have ended.
        now_s: seconds since 1970 UTC.
    """
    return [
        session
        for session in sessions
        if session.mark.view < cycle
        and session.mark.session_id not in dead
        and now_s - session.modified_s < LEASE_S
    ]


def delete_quietly(backend: Backend, name: str) -> None:
    """Delete an object that nobody needs; a store may forbid that."""
    try:
        backend.delete(name)
    except BackendError:
        pass
