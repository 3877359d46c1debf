"""Global options and environment variables, merged into frozen `Settings`.

The only module that reads the environment. An option of the command line wins over a variable;
of the secrets exactly one counts, and two at the same level are refused rather than ranked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

import click

from holdfast.errors import ConfigurationError

COMPLETION_VARIABLE: Final = "_HOLDFAST_COMPLETE"
_GIVEN: Final = "holdfast_cli.given"


class SecretKind(Enum):
    """Where a secret comes from. Names and values are those of the variables and options."""

    PASSWORD = None
    PASSWORD_FILE = "--password-file"  # noqa: S105 - the name of an option
    PASSWORD_COMMAND = "--password-command"  # noqa: S105
    KEY_FILE = "--key-file"
    RECOVERY_FILE = "--recovery-file"


@dataclass(frozen=True, slots=True)
class SecretSource:
    """One way to a secret: a file, a command, or the password itself."""

    kind: SecretKind
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the global options and the environment say together."""

    repository: str | None = None
    secret: SecretSource | None = None
    """None: ask on the terminal."""
    cache_dir: str | None = None
    """None: neither named nor derivable, because there is no home directory."""
    json: bool = False
    quiet: bool = False
    verbosity: int = 0
    debug: bool = False
    """Show details of defects."""


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep a global option's value for the whole command line; the last one given wins."""
    if value is None or value is False or value == 0:
        return
    given: dict[str, Any] = context.meta.setdefault(_GIVEN, {})
    name = str(parameter.name)
    given[name] = given.get(name, 0) + value if name == "verbose" else value


_GLOBAL_OPTIONS: Final[tuple[tuple[tuple[str, ...], dict[str, Any], str], ...]] = (
    (("-r", "--repository"), {"metavar": "LOCATION"},
     "The repository: a path, file:///path or s3://bucket/prefix. [HOLDFAST_REPOSITORY]"),
    (("--password-file",), {"metavar": "FILE"},
     "Take the password from the first line of FILE. [HOLDFAST_PASSWORD_FILE]"),
    (("--password-command",), {"metavar": "COMMAND"},
     "Take the password from the output of COMMAND. [HOLDFAST_PASSWORD_COMMAND]"),
    (("--key-file",), {"metavar": "FILE"},
     "Open the repository with a key file. [HOLDFAST_KEY_FILE]"),
    (("--recovery-file",), {"metavar": "FILE"},
     "Open the repository with the recovery words in FILE. [HOLDFAST_RECOVERY_FILE]"),
    (("--cache-dir",), {"metavar": "DIR"},
     "Keep the local cache in DIR, not in ~/.cache/holdfast. [HOLDFAST_CACHE_DIR]"),
    (("--json",), {"is_flag": True},
     "Write JSON with stable keys instead of text."),
    (("-q", "--quiet"), {"is_flag": True},
     "Write results and errors only: no progress, no notes."),
    (("-v", "--verbose"), {"count": True},
     "Write more; twice shows details of defects."),
)  # fmt: skip


class InheritedOption(click.Option):
    """A global option after a command's name: understood and completed, explained elsewhere."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:  # noqa: ARG002
        """Keep it out of the command's help."""
        return None


def global_options(option_class: type[click.Option] = click.Option) -> list[click.Option]:
    """Return fresh options that every command understands, before or after its name."""
    return [
        option_class(names, **kind, help=text, expose_value=False, callback=_remember)
        for names, kind, text in _GLOBAL_OPTIONS
    ]


def read_settings(context: click.Context) -> Settings:
    """Merge the options given so far with the environment.

    Raises:
        ConfigurationError: options that exclude each other.
    """
    return merge_settings(context.meta.get(_GIVEN, {}), read_environment())


def read_environment() -> Mapping[str, str]:
    """Return a copy of the environment, so that a run sees one state of it."""
    return dict(os.environ)  # noqa: TID251 - this is the one reader that the rule protects


def merge_settings(given: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Merge options of the command line with variables; empty variables count as unset.

    Raises:
        ConfigurationError: options that exclude each other.
    """
    verbosity = int(given.get("verbose", 0))
    quiet = bool(given.get("quiet"))
    if quiet and verbosity:
        raise ConfigurationError(
            "--quiet and --verbose exclude each other", "give only one of them"
        )
    return Settings(
        repository=given.get("repository") or environment.get("HOLDFAST_REPOSITORY") or None,
        secret=_choose_secret(given, environment),
        cache_dir=given.get("cache_dir")
        or environment.get("HOLDFAST_CACHE_DIR")
        or _default_cache_dir(environment),
        json=bool(given.get("json")),
        quiet=quiet,
        verbosity=verbosity,
        debug=verbosity >= 2 or bool(environment.get("HOLDFAST_DEBUG")),
    )


def _choose_secret(given: Mapping[str, Any], environment: Mapping[str, str]) -> SecretSource | None:
    options = {
        kind: given.get(kind.name.lower()) for kind in SecretKind if kind is not SecretKind.PASSWORD
    }
    variables = {kind: environment.get(f"HOLDFAST_{kind.name}") for kind in SecretKind}
    for level, where in ((options, "options"), (variables, "environment variables")):
        sources = [SecretSource(kind, value) for kind, value in level.items() if value]
        if len(sources) > 1:
            names = " and ".join(
                source.kind.value if level is options else f"HOLDFAST_{source.kind.name}"
                for source in sources
            )
            raise ConfigurationError(
                f"the {where} {names} exclude each other", "give one source of the password or key"
            )
        if sources:
            return sources[0]
    return None


def _default_cache_dir(environment: Mapping[str, str]) -> str | None:
    base = environment.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):  # the XDG specification: relative paths are invalid, ignore them
        home = environment.get("HOME") or os.path.expanduser("~")
        if not home.startswith("/"):
            return None
        base = os.path.join(home, ".cache")
    return os.path.join(base, "holdfast")
