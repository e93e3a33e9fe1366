"""Pictures as pixels and as vectors, for the screen and for print."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from deeptracker.cli.commands import app
from deeptracker.errors import InputError
from deeptracker.export import figure
from deeptracker.store import Run
from deeptracker.view.places import layers_of, short

SVG = "{http://www.w3.org/2000/svg}"


def texts(path: Path) -> list[str]:
    return [node.text or "" for node in ElementTree.parse(path).iter(f"{SVG}text")]


@pytest.mark.parametrize("what", ["run", "curves", "layers", "classes", "cube"])
def test_svg__is_well_formed_and_names_what_it_shows(analysed: Run, tmp_path: Path, what: str) -> None:
    path = figure(analysed, tmp_path / "figure.svg", what=what)
    said = texts(path)
    assert "DeepTracker" in said
    names = [short(place.name, 26) for place in layers_of(analysed)]
    assert set(names) <= set(said) if what in ("run", "layers") else True
    assert ("class 1" in said) == (what in ("run", "classes", "cube"))
    assert ("training loss" in said) == (what in ("run", "curves"))
    assert "http" not in path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")


def test_svg__nothing_of_a_run_becomes_markup(analysed: Run, tmp_path: Path) -> None:
    class Renamed:
        path = Path("<script>alert(1)</script>")

        def __getattr__(self, name: str) -> object:
            return getattr(analysed, name)

    path = figure(Renamed(), tmp_path / "figure.svg", what="curves")
    assert "script>" in texts(path)[1]
    assert not list(ElementTree.parse(path).iter(f"{SVG}script"))


def test_png__for_print_has_the_dots_and_the_same_proportions(analysed: Run, tmp_path: Path) -> None:
    with Image.open(figure(analysed, tmp_path / "screen.png", width=800)) as screen:
        size, dots = screen.size, screen.info["dpi"][0]
    with Image.open(figure(analysed, tmp_path / "print.png", width=800, dpi=288)) as printed:
        assert printed.size == pytest.approx([3 * side for side in size], abs=2)
        assert printed.info["dpi"][0] == pytest.approx(288, abs=1)
    assert dots == pytest.approx(96, abs=1)


def test_figure__says_what_cannot_be_drawn(recorded: Run, unvalidated: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose one of run, curves"):
        figure(recorded, tmp_path / "a.png", what="everything")
    with pytest.raises(InputError, match="dpi=5: choose 24 to 1200"):
        figure(recorded, tmp_path / "a.png", dpi=5)
    with pytest.raises(InputError, match="no picture of classes: No validation answers"):
        figure(unvalidated, tmp_path / "a.png", what="classes")
    with pytest.raises(InputError, match=r"no picture of cube: Not analysed yet. deeptracker analyze"):
        figure(recorded, tmp_path / "a.svg", what="cube")
    assert list(tmp_path.iterdir()) == []


def test_export__options_go_with_their_kind(analysed: Run, tmp_path: Path) -> None:
    runner = CliRunner()
    path = str(analysed.path)
    done = runner.invoke(app, ["export", path, "--to", str(tmp_path / "f.csv"), "--group", "index/stages"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "f.csv").read_text().startswith("iteration,stage,")
    wrong = runner.invoke(app, ["export", path, "--to", str(tmp_path / "g.csv"), "--dpi", "300"])
    assert isinstance(wrong.exception, InputError)
    assert "--dpi does not go with g.csv" in str(wrong.exception)
