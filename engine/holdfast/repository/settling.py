"""What a writer does about a cycle of prune that is closed and not sealed.

Between CLOSE and SEAL nobody knows which commits of older views stay valid. Whoever prunes needs a
moment for that, so a writer waits. If the moment grows long, the pruner may be dead or asleep:
then the writer seals the cycle itself and empties it: all commits stay, nothing is deleted. That
is safe at any time, since it is what a pruner does that finds every condemned pack needed.

Where the storage does not keep two writers of one name apart, only the maintainer writes to the
log. A writer then goes on without the SEAL: its next view is newer than the CLOSE, so whatever
it commits from there on counts at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from holdfast.clock import Clock
from holdfast.errors import AccessDeniedError
from holdfast.format.gc import Seal, join_ids
from holdfast.repository.commits import StoredCommit
from holdfast.repository.gc_log import GcLog
from holdfast.repository.log_state import LogState

PATIENCE_S: Final = 30.0
"""How long a SEAL is waited for: what follows a CLOSE takes a pruner a second or two."""
_FIRST_WAIT_S: Final = 0.02
_LONGEST_WAIT_S: Final = 1.0


class Settler:
    """Waits until the log decides, and decides itself if nobody else does.

    Args:
        log: of the repository.
        clock: to wait by.
        read_commits: returns every commit; None if one of them cannot be read.
        may_seal: whether others than a pruner may write to the log.
    """

    def __init__(
        self,
        log: GcLog,
        clock: Clock,
        read_commits: Callable[[], list[StoredCommit] | None],
        *,
        may_seal: bool = True,
    ) -> None:
        self._log = log
        self._clock = clock
        self._read_commits = read_commits
        self._may_seal = may_seal
        self.has_given_up = False
        """Whether a SEAL was waited for in vain, since only the maintainer may write it."""

    def wait(self, view: int | None = None) -> LogState:
        """Return the log once it decides about commits of a view.

        Args:
            view: of a commit; None for any view, so that no CLOSE may be left without its SEAL.

        Returns:
            The log. It is undecided all the same where this process may not write to it (see
            `has_given_up`), or where a commit is damaged: a SEAL without it would make it void.
        """
        clock = self._clock
        wait_s, end_s = _FIRST_WAIT_S, clock.monotonic_s() + PATIENCE_S
        while True:
            state = self._log.read()
            if not state.is_closed or (view is not None and state.is_decided(view)):
                return state
            if clock.monotonic_s() >= end_s:
                if not self._seal_emptily(state):
                    return state
                continue
            clock.sleep_s(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def is_committed(self, commit_id: str, view: int) -> bool:
        """Tell whether a commit that was just created stays: publish first, then check.

        Either no cycle was closed before this looks, then whoever closes one finds the commit; or
        its SEAL says what became of it. False means void: nobody will ever rely on the commit.
        """
        state = self.wait(view)
        return state.is_valid(commit_id, view) and state.is_decided(view)

    def _seal_emptily(self, state: LogState) -> bool:
        """Seal a closed cycle so that every commit stays; False if that cannot be done.

        Somebody else may be faster; the log says then what holds.
        """
        if not self._may_seal:
            self.has_given_up = True
            return False
        commits = self._read_commits()
        if commits is None:
            return False
        valid = [item for item in commits if state.is_valid(item.id, item.commit.view)]
        entry = Seal(
            previous_hash=state.last_hash,
            time_ns=self._clock.now_ns(),
            host="",
            live=join_ids(live_ids(state, valid)),
            doomed=join_ids(state.doomed),
            index_ids=join_ids(state.trusted_index((i.id, i.commit.index_ids) for i in valid)),
            superseded=join_ids(state.superseded),
            forgotten=b"",
            logs=state.seal.logs if state.seal else (),
        )
        try:
            self._log.append(state, entry)
        except AccessDeniedError:
            return False
        return True


def live_ids(state: LogState, valid: Iterable[StoredCommit]) -> list[str]:
    """Return the commits that a SEAL names.

    The commit of a repack is named once, so that its writer learns that it counted; its index
    objects are in the SEAL's own list from then on.
    """
    return [item.id for item in valid if item.snapshot is not None or item.id not in state.live]
