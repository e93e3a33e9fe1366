"""The engine that knows how inputs are built: Hypothesis draws a sound input and what is changed in it.

python -m soak.hostile.drawn TARGET --times 1000 --seed 1 --folder /tmp/x   # one JSON line: tried, wrong
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from soak.hostile import changes, messages, odd
from soak.hostile.targets import Target, file_name, scratch, targets
from soak.hostile.watch import attempt, canary, limit

WHOLE = 40
"""One in so many inputs goes the whole way."""
MOST_WRONG = 200

CHANGES: dict[str, tuple[changes.Change, ...]] = {
    "checkpoint-pt": (changes.of_zip,),
    "checkpoint-safetensors": (changes.of_safetensors,),
    "checkpoint-npz": (changes.of_zip,),
    "answers-npz": (changes.of_zip, odd.answers),
    "events": (changes.of_bytes, messages.event_file),
    "event-records": (messages.of_message,),
    "table-csv": (changes.of_text,),
    "table-jsonl": (changes.of_lines, changes.of_text),
    "table-parquet": (odd.parquet, changes.of_bytes),
    "profile": (changes.of_text, odd.profile),
    "address": (changes.of_text,),
    "run-commit": (changes.of_json,),
    "run-stages": (changes.of_json,),
    "run-remarks": (changes.of_json,),
    "run-zarr": (changes.behind(1, changes.of_json),),
    "run-tail": (changes.of_json,),
    "run-values": (changes.behind(1, changes.of_bytes),),
    "run-copy": (changes.of_zip, changes.of_bytes),
}


@dataclass(slots=True)
class Found:
    """What an engine did: inputs tried, and what was wrong with some of them: (what, input)."""

    tried: int = 0
    wrong: list[tuple[str, str]] = field(default_factory=list)


def draw_inputs(target: Target, times: int, seed: int, folder: Path) -> Found:
    """Try so many drawn inputs; none ends the attack."""
    found, seeds, kinds = Found(), target.seeds(), CHANGES[target.name]
    warm_up(target, folder)

    @settings(
        max_examples=times,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @seeded(seed)
    @given(st.data())
    def hostile(data: Any) -> None:
        content = data.draw(st.sampled_from(seeds))
        for _ in range(data.draw(st.integers(1, 3))):
            content = data.draw(st.sampled_from(kinds))(data.draw, content)
        found.tried += 1
        feed = target.whole if found.tried % WHOLE == 0 else target.feed
        if len(found.wrong) < MOST_WRONG and (wrong := attempt(lambda: feed(content, scratch(folder)), folder)):
            found.wrong.append((wrong, keep(content, folder / "wrong")))

    hostile()
    if canary().exists():
        found.wrong.append(("code of an input ran", ""))
    return found


def warm_up(target: Target, folder: Path) -> None:
    """What is loaded and compiled at first use is no part of a try."""
    for content in target.seeds():
        target.feed(content, scratch(folder))
    target.whole(target.seeds()[0], scratch(folder))


def keep(content: bytes, folder: Path) -> str:
    """An input that went wrong, for whoever mends it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file_name(content)).write_bytes(content)
    return file_name(content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=CHANGES)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, required=True)
    asked = parser.parse_args()
    limit(8)
    warnings.simplefilter("ignore")
    asked.folder.mkdir(parents=True, exist_ok=True)
    target = targets(asked.folder)[asked.target]
    print(json.dumps(asdict(draw_inputs(target, asked.times, asked.seed, asked.folder))))
    sys.exit()


if __name__ == "__main__":
    main()

__all__ = ["CHANGES", "Found", "draw_inputs", "keep", "warm_up"]
