"""The layout that the design draws: imports go one way, nothing goes in circles, files stay readable."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "deeptracker"
FILES = sorted(PACKAGE.rglob("*.py"))

# Lower floors first; rooms on one floor never import one another.
FLOORS = [
    {"errors"},
    {"schema"},
    {"conform"},
    {"statistics", "sink", "places"},
    {"record", "ingest", "store"},
    {"recording", "restore"},
    {"integrations", "testing"},
    {"aggregate"},
    {"detect"},
    {"correlate"},
    {"cluster", "thinning"},
    {"analysis"},
    {"following"},
    {"screen"},
    {"view"},
    {"app", "export"},
    {"demo"},
    {"trials"},
    {"cli"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports(path: Path) -> Iterator[str]:
    """Every room of ours that a file imports, also inside functions; type-checking blocks count too."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "deeptracker" else [f"deeptracker.{a.name}" for a in node.names]
        for name in names:
            if name.startswith("deeptracker."):
                yield name.split(".")[1]


@pytest.mark.parametrize("path", [f for f in FILES if f != PACKAGE / "__init__.py"], ids=str)
def test_imports__go_down_only(path: Path) -> None:
    mine = room(path)
    assert mine in FLOOR, f"{mine} is on no floor: add it to the plan"
    for other in imports(path):
        if other == mine or other == "__version__":
            continue
        assert FLOOR[other] < FLOOR[mine], f"{path.relative_to(ROOT)} imports {other}, which is not below {mine}"


def test_modules__import_one_another_without_circles() -> None:
    names = {f: ".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for f in FILES}
    known = set(names.values())
    edges: dict[str, set[str]] = {}
    for path, name in names.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {f"{node.module}.{a.name}" for a in node.names if f"{node.module}.{a.name}" in known}
                found |= (
                    {node.module} & known if not {f"{node.module}.{a.name}" for a in node.names} & known else set()
                )
        edges[name] = found - {name, "deeptracker"}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in edges[name]:
                visit(other, (*path, name))
            done.add(name)

    for name in edges:
        visit(name, ())


@pytest.mark.parametrize("path", FILES, ids=str)
def test_files__have_at_most_300_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


def test_files__no_room_is_called_utils() -> None:
    assert not [f for f in FILES if re.fullmatch(r"(utils?|helpers?|common|misc)", f.stem)]


def test_import__loads_neither_torch_nor_views() -> None:
    heavy = ("torch", "bokeh", "panel", "zarr", "xarray")
    code = f"import sys, deeptracker; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_reading__loads_no_torch() -> None:
    code = (
        "import sys, deeptracker as d; d.open_run, d.analyze; print(*[m in sys.modules for m in ('torch', 'bokeh')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False False"
