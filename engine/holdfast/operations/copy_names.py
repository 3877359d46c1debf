"""Which packs a mirror may create under the names that its origin gave them.

A name must never be used twice at one place. Packs are deleted by whoever has read the SEAL that
dooms them, at any later time: a pruner that slept for a year may delete one then. A pack that was
created again under its old name would be hit, though snapshots need it: data loss. So a pack may be
created here under a given name only if it surely has never been here before.

*It was copied here before.* Whoever copies packs first creates a copy list with their names, durably,
and lists are never deleted. So a pack that some list names may have been here.

*Somebody else copies it right now.* Both create their lists, and only then look at all lists:
publish, then look. If each list was there before the other looked, both leave the pack alone. If one
was not, its creator looks later, finds the other's list and leaves the pack alone. So of all runs
there ever are at most one creates a pack, and it does so once. If it sleeps in between, the name is
still unused. If it dies, the name is spent; the journal tells the next run on this host what was
stored, and the lists are short, so that little is lost.

*It was written here.* Then no list here names it, and it may come back from a mirror that once
copied it from here. So a list says for each pack where it was written: in the repository that was
copied from, unless that one's own lists name the pack and say where. A pack that was written
here is never created again.

If a list cannot be read nothing is created under an old name. What may not be copied as a pack is
copied blob by blob into packs with new names, which is slower and just as good.
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from holdfast.errors import IntegrityError, NotFoundError
from holdfast.format.copies import decode_copy_list, encode_copy_list, make_copy_list
from holdfast.format.envelope import ObjectKind
from holdfast.ids import ObjectId, new_object_id
from holdfast.repository import layout
from holdfast.repository.listing import list_objects
from holdfast.repository.repository import Repository


class CopiedNames:
    """What the copy lists of a repository say about some packs. For one thread.

    Args:
        repository: opened.
        wanted: the packs; lists are read whole and forgotten but for these.
    """

    def __init__(self, repository: Repository, wanted: Collection[ObjectId]) -> None:
        self._repository = repository
        self._wanted = frozenset(wanted)
        self._seen: set[str] = set()
        self.origins: dict[ObjectId, bytes] = {}
        """Pack -> instance of the repository that wrote it."""
        self.problems: list[IntegrityError] = []
        """Lists that cannot be read: any pack may be among theirs."""

    def look(self) -> None:
        """Read the lists that are new. Cost: a LIST, and a GET for each."""
        backend = self._repository.backend
        names = {info.name for info in list_objects(backend, layout.COPIES).values()}
        fresh = sorted(names - self._seen)
        with ThreadPoolExecutor(max(1, backend.parallelism), "holdfast-lists") as pool:
            for found in pool.map(self._read, fresh):
                if isinstance(found, IntegrityError):
                    self.problems.append(found)
                else:
                    self.origins.update(found)
        self._seen |= names

    def pass_over(self, name: str) -> None:
        """Do not count a list that is our own."""
        self._seen.add(name)

    def _read(self, name: str) -> dict[ObjectId, bytes] | IntegrityError:
        try:
            data = self._repository.backend.read(name)
            body = self._repository.envelope.open(ObjectKind.COPY, name, data)
            packs = decode_copy_list(body, name).packs
        except NotFoundError:
            return IntegrityError("copy list", name, "it is missing")
        except IntegrityError as error:
            return error
        return {one: instance for one, instance in packs.items() if one in self._wanted}


class NameClaims:
    """Claims names at the destination of a copy. For one thread."""

    def __init__(
        self, source: Repository, destination: Repository, packs: Collection[ObjectId], *, host: str
    ) -> None:
        self._source = source
        self._destination = destination
        self._host = host
        self._there = CopiedNames(source, packs)
        self._here = CopiedNames(destination, packs)
        self._there.look()
        self._here.look()

    def claim(self, packs: Collection[ObjectId]) -> set[ObjectId]:
        """Return those of some packs that may now be created; no run will ever claim them again.

        Durable on return. Cost: a PUT, a LIST and a GET for each list that others made meanwhile.
        """
        own_instance = self._destination.config.instance
        origins = {
            one: self._there.origins.get(one, self._source.config.instance)
            for one in packs
            if one not in self._here.origins
        }
        free = {one: origin for one, origin in origins.items() if origin != own_instance}
        if not free or self._here.problems or self._there.problems:
            return set()
        repository = self._destination
        copies = make_copy_list(free, time_ns=repository.clock.now_ns(), host=self._host)
        name = layout.copy_name(new_object_id())
        body = encode_copy_list(copies)
        repository.backend.create(name, repository.envelope.seal(ObjectKind.COPY, name, body))
        self._here.pass_over(name)
        self._here.look()
        if self._here.problems:
            return set()
        claimed = {one for one in free if one not in self._here.origins}
        self._here.origins.update(free)
        return claimed


def check_copy_lists(repository: Repository) -> list[IntegrityError]:
    """Return what is damaged among the copy lists of a repository."""
    names = CopiedNames(repository, ())
    names.look()
    return names.problems
