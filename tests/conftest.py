"""For all tests: a clean environment and how hard hypothesis tries."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("dev", max_examples=50, derandomize=True, deadline=None)
settings.register_profile("ci", max_examples=300, derandomize=True, deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")  # noqa: TID251 - tests are the edge


def pytest_addoption(parser: pytest.Parser) -> None:
    """Golden files are written anew on request only."""
    parser.addoption("--update-golden", action="store_true", help="write golden files anew")


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory without anything in it."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, empty_home: Path) -> None:
    """No test sees the user's home, settings, time zone or language."""
    for name in list(os.environ):  # noqa: TID251
        if name.startswith(("HOLDFAST_", "_HOLDFAST_", "XDG_", "LC_")):
            monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LANGUAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(empty_home))
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("TZ", "UTC")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what model and simulations have explored; reports bring it, also from xdist's workers.

    Here and not beside them: a process that only hands out tests reads no other conftest.
    """
    total: Counter[str] = Counter()
    states = 0
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            properties = dict(report.user_properties)
            total.update(properties.get("simulation", {}))
            states += properties.get("states", 0)
    if states:
        terminalreporter.write_line(f"model: {states:,} states")
    if total:
        figures = ", ".join(f"{number:,} {name}" for name, number in total.items())
        terminalreporter.write_line(f"simulation: {figures}")
