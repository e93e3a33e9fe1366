"""Views, pages and exports take what they show from ``deeptracker.screen``: none opens a group by itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent.parent / "deeptracker"
FILES = sorted(file for room in ("view", "app", "export") for file in (PACKAGE / room).rglob("*.py"))
READS = {"dataset", "tree", "write_stage", "stages", "commit"}
GROUPS = {"scalars", "filters", "layers", "images", "validation", "architecture"}
"""Properties of a run that are Datasets; views have attributes of these names too."""
OPENS = {"zarr", "xarray.open_zarr", "xarray.open_datatree", "deeptracker.store.arrays", "deeptracker.store.joined"}


def reads(source: str) -> Iterator[str]:
    """Whatever in a piece of code reads a run without the screen."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            of = node.value
            is_run = (isinstance(of, ast.Name) and of.id == "run") or (
                isinstance(of, ast.Attribute) and of.attr == "run"
            )
            if node.attr == "dataset" or (is_run and node.attr in READS | GROUPS):
                yield f"line {node.lineno}: .{node.attr}"
            if node.attr in ("open_zarr", "open_datatree", "open_group", "open_array"):
                yield f"line {node.lineno}: .{node.attr}"
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[0] == "zarr" or name in OPENS:
                yield f"line {node.lineno}: import {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_views__read_through_the_screen_only(path: Path) -> None:
    assert list(reads(path.read_text())) == []


@pytest.mark.parametrize(
    "code",
    [
        "values = run.dataset('filters/dense')",
        "values = self.run.filters.w_rms",
        "import zarr",
        "from zarr import open_group",
        "import xarray as xr\nxr.open_zarr(path)",
    ],
)
def test_reads__are_found(code: str) -> None:
    assert list(reads(code))
