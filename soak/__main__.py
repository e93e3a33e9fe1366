"""Run attacks and print the table of the README's section on reliability.

python -m soak                          # all of them, in their long forms (an hour or so)
python -m soak --only kills --share 0.1 # one of them, a tenth as long
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from soak.figures import Figure, markdown

ATTACKS: dict[str, int] = {
    "kills": 300,
    "power": 100,
    "disks": 60,
    "buckets": 10,
    "readers": 1000,
    "analyses": 4,
    "injuries": 1000,
    "hostile": 10_000,
    "odd": 40,
    "visitors": 5_000,
}
"""Module → how often its long form tries. Each has ``attack(times, seed, folder) -> list[Figure]``."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=ATTACKS, default=list(ATTACKS))
    parser.add_argument("--share", type=float, default=1.0, help="of the long form")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    found: list[Figure] = []
    for name in asked.only:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix=f"soak-{name}-") as folder:
            some = import_module(f"soak.{name}").attack(
                max(1, int(ATTACKS[name] * asked.share)), asked.seed, Path(folder)
            )
        for figure in some:
            print(figure, flush=True)
        print(f"({name}: {time.perf_counter() - began:.0f} s)\n", flush=True)
        found += some
    print(markdown(found))
    sys.exit(any(figure.wrong for figure in found))


if __name__ == "__main__":
    main()
