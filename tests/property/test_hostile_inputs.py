"""No reader crashes on, runs, or pays for what it reads: the kept corpus, and inputs that are drawn anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from soak.figures import Figure
from soak.hostile import malice
from soak.hostile.drawn import CHANGES, draw_inputs, warm_up
from soak.hostile.targets import Target, scratch, targets
from soak.hostile.watch import attempt, canary

CORPUS = Path(__file__).parent.parent / "corpus"
KEPT = sorted(path for path in CORPUS.rglob("*") if path.is_file())
# Readers whose inputs lead on to names of files; the whole way of the others is long.
WHOLE = {"run-commit", "run-stages", "event-records", "table-csv", "table-jsonl"}
TIMES = {name: 5 if name.startswith("run") else 15 for name in CHANGES}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def every(place: Path) -> Iterator[dict[str, Target]]:
    canary().unlink(missing_ok=True)
    yield targets(place)
    assert not canary().exists(), "code of an input ran"
    canary().unlink(missing_ok=True)


def test_corpus__has_a_folder_for_every_reader_but_whole_event_files(every: dict[str, Target]) -> None:
    assert {path.parent.name for path in KEPT} == set(every) - {"events"} == set(CHANGES) - {"events"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted({path.parent.name for path in KEPT}))
def test_kept_inputs__end_in_success_or_one_clear_line(name: str, every: dict[str, Target], place: Path) -> None:
    target = every[name]
    warm_up(target, place)
    for path in (one for one in KEPT if one.parent.name == name):
        content = path.read_bytes()
        feed = target.whole if name in WHOLE else target.feed
        wrong = attempt(lambda content=content, feed=feed: feed(content, scratch(place)), place)
        assert not wrong, f"{path}: {wrong}"


@pytest.mark.filterwarnings("ignore")
def test_small_files__that_stand_for_very_much_are_refused_before_it_is_there(
    every: dict[str, Target], place: Path
) -> None:
    for name, inputs in malice.large().items():
        for what, content in inputs.items():
            wrong = attempt(lambda name=name, content=content: every[name].feed(content, scratch(place)), place)
            assert not wrong, f"{what}: {wrong}"


@pytest.mark.filterwarnings("ignore")
def test_drawn_inputs__end_in_success_or_one_clear_line(
    every: dict[str, Target], place: Path, stands: Callable[[Iterable[Figure]], None]
) -> None:
    found = [draw_inputs(every[name], times, 1, place) for name, times in TIMES.items()]
    wrong = [one for some in found for one in some.wrong]
    assert not wrong, wrong
    tried = sum(some.tried for some in found)
    stands([Figure("hostile input, drawn", f"{tried:,} inputs", f"{len(found)} readers", len(wrong), "crashed")])
