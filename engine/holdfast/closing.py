"""What is closed at the end of a `with` block, however the block ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """A context manager whose end is `close`; subclasses need nothing but that."""

    __slots__ = ()

    @abstractmethod
    def close(self) -> None:
        """Release what is held; harmless if repeated."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
