"""Patterns of gitignore, compiled so that one directory entry can be judged by itself.

`pathspec` translates the globs. What it does not do is gitignore's rule that a pattern speaks of
an entry and not of what lies below it; whoever walks a tree applies the verdict on a directory
to its contents by not descending. Names are bytes of any value: they are decoded with
surrogateescape, and a newline, which regular expressions treat specially, is replaced by a code
point that no decoded name contains.

Source: gitignore(5), section "Pattern format".
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from holdfast.errors import ConfigurationError

_NEWLINE: Final = "\udc0a"
_MAGIC: Final = frozenset("*?[]\\")
_MATCH_ALL: Final = frozenset({".", "/", "(?P<ps_d>/)"})
"""What pathspec makes of "*" and "*/": to be searched for, not matched in full."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One compiled pattern."""

    text: str
    """As the user wrote it."""
    body: str
    """Normal form: no "!", no leading "/", no trailing "/"."""
    negated: bool
    """It begins with "!": what it matches is taken back in."""
    directories_only: bool
    """It ends with "/"."""
    name_only: bool
    """It has no other "/" and speaks of names in any directory; others speak of paths from "/"."""
    ignore_case: bool
    test: Callable[[str], re.Match[str] | None]
    """Judges a name or, unless `name_only`, a path without its leading "/"; both as `as_text`
    gives them, with "/" at the end of a directory."""

    @property
    def is_literal(self) -> bool:
        """Whether it stands for exactly one name or path, to be compared as bytes."""
        return not self.ignore_case and not _MAGIC.intersection(self.body)

    @property
    def is_suffix(self) -> bool:
        """Whether it is "*" and a literal, as in "*.pyc"."""
        rest = self.body[1:]
        return (
            self.name_only
            and self.body[:1] == "*"
            and rest != ""
            and not self.ignore_case
            and not _MAGIC.intersection(rest)
        )


def as_text(name: bytes) -> str:
    """Return what patterns are matched against; never fails and loses nothing."""
    text = name.decode("utf-8", "surrogateescape")
    return text.replace("\n", _NEWLINE) if "\n" in text else text


def as_bytes(text: str) -> bytes:
    """Return the name that a literal pattern stands for."""
    return text.replace(_NEWLINE, "\n").encode("utf-8", "surrogateescape")


def compile_patterns(
    patterns: Iterable[str], ignore_case_patterns: Iterable[str] = ()
) -> tuple[Pattern, ...]:
    """Compile patterns; those that ignore case come last and so win over the others.

    Raises:
        ConfigurationError: a pattern that can match nothing or is malformed.
    """
    compiled = [compile_pattern(text) for text in patterns]
    compiled += [compile_pattern(text, ignore_case=True) for text in ignore_case_patterns]
    return tuple(compiled)


def compile_pattern(text: str, *, ignore_case: bool = False) -> Pattern:
    """Compile one pattern in gitignore's syntax.

    A pattern with "/" at its beginning or in its middle is a path from the root of the file
    system, any other a name in any directory.

    Raises:
        ConfigurationError: it can match nothing or is malformed.
    """
    source = text.replace("\n", _NEWLINE)
    negated = source.startswith("!")
    glob = _normal_form(source[1:] if negated else source)
    if "[[:" in glob:
        raise ConfigurationError(f"{text!r} names a class of characters", "list the characters")
    try:
        as_bytes(glob)
        with warnings.catch_warnings():
            # re warns of "[[", which is an ordinary way to write a literal "[" in a glob.
            warnings.simplefilter("ignore", FutureWarning)
            translated = GitIgnoreSpecPattern("!" + glob if negated else glob)
    except (ValueError, re.error) as error:
        raise ConfigurationError(f"{text!r} is not a valid pattern", _hint(error)) from error
    regex = translated.regex
    stripped = glob if glob.endswith("\\ ") else glob.rstrip()
    if regex is None or not stripped.strip("/"):
        raise ConfigurationError(
            f"the pattern {text!r} matches nothing",
            'write "\\#" for a name that begins with "#", and close each "[" with "]"',
        )
    if ignore_case:
        regex = re.compile(regex.pattern, re.IGNORECASE)
    return Pattern(
        text=text,
        body=stripped.strip("/"),
        negated=negated,
        directories_only=stripped.endswith("/"),
        name_only="/" not in stripped.rstrip("/"),
        ignore_case=ignore_case,
        test=regex.search if regex.pattern in _MATCH_ALL else regex.fullmatch,
    )


def parse_pattern_lines(data: bytes, source: str) -> list[str]:
    """Return the patterns in an exclude file: one a line, without blank lines and "#" comments.

    Args:
        data: the file's bytes.
        source: the file's name, for errors.

    Raises:
        ConfigurationError: a line is no valid pattern; file and line are named.
    """
    patterns: list[str] = []
    for number, raw in enumerate(data.split(b"\n"), start=1):
        line = raw.removesuffix(b"\r").decode("utf-8", "surrogateescape")
        if not line.strip() or line.startswith("#"):
            continue
        try:
            compile_pattern(line)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{source}, line {number}: {error.what}", error.hint
            ) from error
        patterns.append(line)
    return patterns


def literal_prefix(pattern: Pattern) -> tuple[str, ...] | None:
    """Return the leading literal components of a pattern of paths, None for one of names.

    Only directories that agree with these components can hold something that matches.
    """
    if pattern.name_only or pattern.ignore_case:
        return None
    prefix: list[str] = []
    for component in pattern.body.split("/"):
        if _MAGIC.intersection(component):
            break
        prefix.append(component)
    return tuple(prefix)


def last_match(patterns: Sequence[Pattern], path: bytes, *, is_directory: bool) -> Pattern | None:
    """Return the last pattern that fits an entry: the one that decides."""
    whole = as_text(path).lstrip("/")
    if is_directory:
        whole += "/"
    name = whole[whole.rfind("/", 0, len(whole) - 1) + 1 :]
    for pattern in reversed(patterns):
        if pattern.test(name if pattern.name_only else whole) is not None:
            return pattern
    return None


def _normal_form(glob: str) -> str:
    """Rewrite forms that gitignore defines as equal to others, so that few forms are left."""
    # A trailing "**" means everything inside, but not the directory itself.
    if glob.endswith("/**"):
        glob += "/*"
    elif glob.endswith("/**/"):
        glob += "*/"
    if glob.startswith("/**/"):
        glob = glob[1:]
    while glob.startswith("**/") and "/" not in glob[3:].rstrip("/"):
        glob = glob[3:] or "*/"
        if not glob.strip("/"):
            return "*/"
    return glob


def _hint(error: Exception) -> str:
    """Return the innermost reason, without the pattern's translation around it."""
    return str(error.__cause__ or error)
