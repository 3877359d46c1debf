"""Which paths a backup leaves out and which a restore brings back. Pure: no I/O.

Patterns follow gitignore (`holdfast.policy.patterns`). Paths are absolute, as snapshots hold
them: the pattern "/home/u/cache" is that one path, "*.o" is any name that ends so.

Most patterns of most users are plain names, plain paths or "*" with an ending. Those are
compared as bytes; only entries that a remaining pattern might fit cost a regular expression.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from holdfast.policy.patterns import (
    Pattern,
    as_bytes,
    as_text,
    compile_patterns,
    last_match,
    literal_prefix,
)


class PatternSet:
    """An ordered list of patterns of which the last that fits an entry decides.

    Cost: about 0.5 us for an entry that no pattern fits, plus 0.4 us for each pattern that is
    neither a name, nor a path, nor "*" with an ending. Immutable; usable from many threads.
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = tuple(patterns)
        positive = [pattern for pattern in patterns if not pattern.negated]
        self._has_negated = len(positive) < len(self._patterns)
        literals = [pattern for pattern in positive if pattern.is_literal]
        suffixes = [pattern for pattern in positive if pattern.is_suffix]
        self._literals = _split(_literal_key(pattern) for pattern in literals)
        self._endings = _split(
            (as_bytes(pattern.body[1:]), pattern.directories_only) for pattern in suffixes
        )
        self._endings_any = tuple(self._endings[0])
        self._endings_directory = tuple(self._endings[0] | self._endings[1])
        quick = set(map(id, literals)) | set(map(id, suffixes))
        self._others = tuple(pattern for pattern in positive if id(pattern) not in quick)

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def selects(self, path: bytes, *, is_directory: bool) -> bool:
        """Tell whether the deciding pattern exists and is not negated.

        Args:
            path: absolute path of the entry, b"/home/u/x".
            is_directory: whether it is a directory.
        """
        if not self._might_match(path, is_directory):
            return False
        if not self._has_negated:
            return True
        decisive = last_match(self._patterns, path, is_directory=is_directory)
        return decisive is not None and not decisive.negated

    def _might_match(self, path: bytes, is_directory: bool) -> bool:
        """Tell whether any pattern that is not negated fits."""
        name = path[path.rfind(b"/") + 1 :]
        anywhere, directories = self._literals
        if name in anywhere or path in anywhere:
            return True
        if is_directory:
            if name in directories or path in directories or name.endswith(self._endings_directory):
                return True
        elif name.endswith(self._endings_any):
            return True
        if not self._others:
            return False
        return last_match(self._others, path, is_directory=is_directory) is not None


class ExcludeFilter:
    """What a backup or a restore leaves out.

    The caller walks from the top and does not descend into what is excluded, so that a pattern
    for a directory covers its contents and, as with gitignore, nothing below an excluded
    directory can be taken back in with "!".
    """

    def __init__(self, patterns: Iterable[str] = (), icase_patterns: Iterable[str] = ()) -> None:
        """Compile the patterns.

        Raises:
            ConfigurationError: an invalid pattern.
        """
        self._set = PatternSet(compile_patterns(patterns, icase_patterns))
        self.is_empty = not self._set

    def excludes(self, path: bytes, is_directory: bool) -> bool:
        """Tell whether the entry at absolute `path` is left out; its parents were asked before."""
        return self._set.selects(path, is_directory=is_directory)


class IncludeFilter:
    """What a restore or a search brings back; without patterns that is everything.

    An entry is included if a pattern fits it or a directory above it.
    """

    def __init__(self, patterns: Iterable[str] = (), icase_patterns: Iterable[str] = ()) -> None:
        """Compile the patterns.

        Raises:
            ConfigurationError: an invalid pattern.
        """
        compiled = compile_patterns(patterns, icase_patterns)
        self._set = PatternSet(compiled)
        self.is_empty = not self._set
        prefixes = [literal_prefix(pattern) for pattern in compiled if not pattern.negated]
        self._prefixes: tuple[tuple[str, ...], ...] | None = None
        if all(prefix is not None for prefix in prefixes):
            self._prefixes = tuple(prefix for prefix in prefixes if prefix is not None)

    def includes(self, path: bytes, is_directory: bool) -> bool:
        """Tell whether the entry at absolute `path` is wanted by itself."""
        return self.is_empty or self._set.selects(path, is_directory=is_directory)

    def may_contain(self, directory: bytes) -> bool:
        """Tell whether something wanted can lie below a directory that is not wanted by itself.

        False spares reading its tree. `directory` is an absolute path.
        """
        if self._prefixes is None:
            return True
        components = tuple(as_text(directory).strip("/").split("/"))
        return any(
            components[: len(prefix)] == prefix[: len(components)] for prefix in self._prefixes
        )


def _literal_key(pattern: Pattern) -> tuple[bytes, bool]:
    """Return what a literal pattern equals: a name, or a path with its leading "/"."""
    body = as_bytes(pattern.body)
    return (body if pattern.name_only else b"/" + body), pattern.directories_only


def _split(entries: Iterable[tuple[bytes, bool]]) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """Split into what fits any entry and what fits directories only."""
    anything: set[bytes] = set()
    directories: set[bytes] = set()
    for value, directories_only in entries:
        (directories if directories_only else anything).add(value)
    return frozenset(anything), frozenset(directories)
