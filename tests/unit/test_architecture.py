"""Rules of the code that hold everywhere: layers, rings, what may be called, how long a module is."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "engine" / "holdfast"
CLI = ROOT / "cli" / "holdfast_cli"

# A part may import parts of lower rows and itself; parts of one row never import each other.
ROWS = (
    ("errors",),
    ("storage_errors", "database_errors"),
    ("ids", "units", "clock", "closing", "findings", "threads", "version"),
    ("progress",),
    ("hashing",),
    ("chunking", "compression", "crypto"),
    ("format", "backends"),
    ("repository", "policy", "fs", "sources"),
    ("operations",),
    ("vfs", "benchmark"),
    ("mount", "server"),
)
LAYER = {part: number for number, row in enumerate(ROWS) for part in row}

MOST_LINES = 500
MOST_INIT_LINES = 60
BANNED_CALLS = {"print", "input", "breakpoint", "eval", "exec"}
BANNED_ATTRIBUTES = {
    ("os", "environ"),
    ("os", "getenv"),
    ("time", "time"),
    ("time", "time_ns"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("sys", "stdout"),
    ("sys", "stderr"),
}
HEAVY = (
    "boto3", "rich", "lmdb", "cryptography", "zstandard", "mnemonic", "pathspec",
    "mfusepy", "cheroot", "textual", "matplotlib",
)  # fmt: skip


def modules(*packages: Path) -> list[Path]:
    return sorted(path for package in packages for path in package.rglob("*.py"))


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def module_name(path: Path) -> str:
    base = ENGINE if path.is_relative_to(ENGINE) else CLI
    parts = [base.name, *path.relative_to(base).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, *, lazy: bool) -> Iterator[str]:
    """Names of imported modules; with `lazy` those inside of functions too."""
    tree = parse(path)
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{label(path)}: relative import"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULE_NAMES else node.module


MODULE_NAMES = {module_name(path) for path in modules(ENGINE, CLI)}


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("path", modules(ENGINE), ids=label)
def test_engine_modules_import_lower_layers_only(path: Path) -> None:
    part = part_of(module_name(path))
    for imported in imports_of(path, lazy=True):
        top, other = imported.split(".")[0], part_of(imported)
        assert top != "holdfast_cli", f"{label(path)} imports the command line"
        if top != "holdfast" or not other or other == part:
            continue
        assert other in LAYER, f"{other} has no layer yet; give it one above"
        assert LAYER[other] < LAYER[part], f"{label(path)} imports {imported}"


def test_policy_and_format_do_no_input_and_output() -> None:
    for path in modules(ENGINE / "policy", ENGINE / "format", ENGINE / "chunking"):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "open", f"{label(path)}:{node.lineno} opens a file"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                called = (node.value.id, node.attr)
                allowed = called[0] != "os" or called[1] in {"urandom", "stat_result"}
                assert allowed, f"{label(path)}:{node.lineno} uses {'.'.join(called)}"


def test_no_rings_of_imports() -> None:
    graph: dict[str, set[str]] = {}
    for path in modules(ENGINE, CLI):
        name = module_name(path)
        imported = set(imports_of(path, lazy=False)) & MODULE_NAMES
        # Importing `package` from inside of it is how rings begin, so it counts as an edge too.
        graph[name] = imported - {name}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert set(order) == MODULE_NAMES


@pytest.mark.parametrize("path", modules(ENGINE), ids=label)
def test_engine_neither_prints_nor_reads_environment_or_time(path: Path) -> None:
    for node in ast.walk(parse(path)):
        where = f"{label(path)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in BANNED_CALLS, f"{where} calls {node.func.id}"
        if path.name == "clock.py":
            continue
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used = (node.value.id, node.attr)
            assert used not in BANNED_ATTRIBUTES, f"{where} uses {'.'.join(used)}"


@pytest.mark.parametrize("path", modules(ENGINE, CLI), ids=label)
def test_modules_are_described_and_short(path: Path) -> None:
    assert ast.get_docstring(parse(path)), f"{label(path)} has no docstring"
    lines = len(path.read_text().splitlines())
    limit = MOST_INIT_LINES if path.name == "__init__.py" else MOST_LINES
    assert lines <= limit, f"{label(path)} has {lines} lines"


@pytest.mark.parametrize("path", modules(ENGINE, CLI), ids=label)
def test_no_unfinished_work(path: Path) -> None:
    text = path.read_text()
    for word in ("TODO", "FIXME", "XXX", "HACK"):
        assert word not in text, f"{label(path)} contains {word}"


def test_command_line_starts_without_heavy_modules() -> None:
    program = "import sys, holdfast_cli.main; print('\\n'.join(sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{ENGINE.parent}:{CLI.parent}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = {name.split(".")[0] for name in ran.stdout.split()}
    assert "holdfast_cli" in loaded
    assert loaded.isdisjoint(HEAVY)
