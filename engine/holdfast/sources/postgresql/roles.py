"""What of a saved globals.sql a server lacks. Pure.

Roles and tablespaces that are there are left as they are: somebody may have changed a password
since, and a restore of one database is no reason to take that back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

_NAME: Final = r'("(?:[^"]|"")*"|[^\s;"]+)'
_STATEMENT: Final = re.compile(r"""(?:'(?:[^']|'')*'|"(?:[^"]|"")*"|[^;'"])+;""")
_SKIPPED: Final = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z)|\\[^\n]*(?:\n|\Z))+")
"""Blanks, comments, and commands of psql itself."""
_OF_ROLE: Final = re.compile(
    rf"(?:(?:CREATE|ALTER|COMMENT ON) ROLE|SECURITY LABEL .*? ON ROLE) {_NAME}"
)
_OF_TABLESPACE: Final = re.compile(
    rf"(?:CREATE|ALTER|COMMENT ON) TABLESPACE {_NAME}|(?:GRANT|REVOKE) [^;]*? ON TABLESPACE {_NAME}"
)
_ON_PARAMETER: Final = re.compile(rf"GRANT .*? ON PARAMETER .* TO {_NAME}")
_MEMBERSHIP: Final = re.compile(rf"GRANT {_NAME} TO {_NAME}")
_GRANTED_BY: Final = re.compile(rf" GRANTED BY {_NAME}")
_LOCATION: Final = re.compile(r"LOCATION '(?:[^']|'')*'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Globals:
    """Which roles and tablespaces there are, or are wanted."""

    roles: Collection[str]
    tablespaces: Collection[str]


def split_statements(text: str) -> Iterator[str]:
    """Yield the statements of what pg_dumpall has written, each with its semicolon."""
    at = 0
    while at < len(text):
        if skipped := _SKIPPED.match(text, at):
            at = skipped.end()
        elif found := _STATEMENT.match(text, at):
            yield found[0]
            at = found.end()
        else:
            return


def saved_globals(text: str) -> Globals:
    """Return what a globals.sql makes."""
    made: dict[str, set[str]] = {"ROLE": set(), "TABLESPACE": set()}
    for statement in split_statements(text):
        if found := re.match(rf"CREATE (ROLE|TABLESPACE) {_NAME}", statement):
            made[found[1]].add(unquote(found[2]))
    return Globals(roles=made["ROLE"], tablespaces=made["TABLESPACE"])


def missing_statements(
    text: str, present: Globals, wanted: Globals | None, *, in_place: bool
) -> list[str]:
    """Return the statements that make what is missing, in the order of the file.

    Args:
        text: globals.sql.
        present: what the server has.
        wanted: what is needed; roles that these are members of come with them. None: all.
        in_place: tablespaces are made inside of the data directory, not where they were.
    """
    saved = saved_globals(text)
    roles = set(saved.roles) if wanted is None else _with_groups(text, wanted.roles)
    new_roles = roles - set(present.roles)
    known = new_roles | set(present.roles)
    tablespaces = set(saved.tablespaces if wanted is None else wanted.tablespaces)
    new_tablespaces = tablespaces - set(present.tablespaces)
    chosen = _chooser(new_roles, known, new_tablespaces)
    statements = [statement for statement in split_statements(text) if chosen(statement)]
    if in_place:
        statements = [
            _LOCATION.sub("LOCATION ''", text) if text.startswith("CREATE TABLESPACE") else text
            for text in statements
        ]
    return [_without_unknown_grantor(statement, known) for statement in statements]


def _chooser(
    new_roles: set[str], known: set[str], new_tablespaces: set[str]
) -> Callable[[str], bool]:
    def chosen(statement: str) -> bool:
        if found := _OF_ROLE.match(statement):
            return unquote(found[1]) in new_roles
        if found := _OF_TABLESPACE.match(statement):
            return unquote(found[1] or found[2]) in new_tablespaces
        if found := _ON_PARAMETER.match(statement):
            return unquote(found[1]) in new_roles
        if found := _MEMBERSHIP.match(statement):
            both = {unquote(found[1]), unquote(found[2])}
            return both <= known and bool(both & new_roles)
        return statement.startswith("SET ")

    return chosen


def _with_groups(text: str, roles: Collection[str]) -> set[str]:
    found = (_MEMBERSHIP.match(statement) for statement in split_statements(text))
    memberships = [(unquote(match[1]), unquote(match[2])) for match in found if match]
    wanted = set(roles)
    while more := {group for group, member in memberships if member in wanted} - wanted:
        wanted |= more
    return wanted


def _without_unknown_grantor(statement: str, known: set[str]) -> str:
    found = _GRANTED_BY.search(statement) if statement.startswith("GRANT") else None
    if found is None or unquote(found[1]) in known:
        return statement
    return statement.replace(found[0], "")


def unquote(name: str) -> str:
    """Return what an identifier stands for."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
