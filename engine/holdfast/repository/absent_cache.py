"""What stands in for the cache where nobody will ask it: log archives need neither index nor view.

A database server has each segment of its log archived by a process of its own, and the disk that
fills up while that fails is often the one that the cache lies on: what frees the disk must not need
room there. And a process that is killed leaves no cache behind that must be built anew.
"""

from __future__ import annotations

import os

from holdfast.repository.cache import Cache


class AbsentCache(Cache):
    """A directory and nothing else; its methods must not be called.

    Args:
        directory: made if that is possible; which key slot was opened is remembered there.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
        except OSError:
            pass  # then the next process looks through the key slots once more

    def close(self) -> None:
        """There is nothing to close."""
