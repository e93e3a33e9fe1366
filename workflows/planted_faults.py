"""How often the analysis is right: plant faults in forks of real trainings, and count what it finds.

    python workflows/planted_faults.py --small                     minutes: one base training of each net
    python workflows/planted_faults.py                             everything, within three hours on two cores
    python workflows/planted_faults.py --settings residual --kinds dead-filters bad-batch --bases 3

A base training is recorded up to a step and kept. From there it is gone on with: five clean twins, each in another
order of the images, and forks that have a fault planted some steps later. What a fault changed is measured against
the twins, what the analysis reports is judged against that, and clean trainings tell how often it is wrong. All of it
can be stopped and resumed: what is finished stays in ``--out``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deeptracker.errors import InputError
from deeptracker.testing.faults import FAULTS
from deeptracker.trials import SETTINGS, Bench, Figures, Plan, rows, tables


def main() -> None:
    """Run what is missing, and print the tables."""
    usual, parser = Plan(), argparse.ArgumentParser(description="Plant faults in real trainings, and count.")
    parser.add_argument("--small", action="store_true", help="one base training, one fork a fault, two clean runs")
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--kinds", nargs="+", choices=FAULTS, default=[], help="of faults; by default all")
    parser.add_argument("--bases", type=int, default=usual.bases, help="base trainings of each net")
    parser.add_argument("--repeats", type=int, default=usual.repeats, help="forks of each fault and base")
    parser.add_argument("--clean", type=int, default=usual.clean, help="clean trainings of each net")
    parser.add_argument("--first-seed", type=int, default=usual.first_seed)
    parser.add_argument("--images", default="", help="folder of CIFAR-10 (cifar-10-batches-py); by default digits")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/faults"))
    parser.add_argument("--table", action="store_true", help="only print the tables of what is there")
    parser.add_argument("--rows", type=Path, help="a CSV file for a row of each training")
    chosen = parser.parse_args()
    sizes = (1, 1, 2) if chosen.small else (chosen.bases, chosen.repeats, chosen.clean)
    plan = Plan(
        tuple(chosen.settings), *sizes, kinds=tuple(chosen.kinds), first_seed=chosen.first_seed, images=chosen.images
    )
    bench = Bench(plan, chosen.out)
    if not chosen.table:
        try:
            bench.run(chosen.processes)
        except InputError as error:
            parser.exit(2, f"planted_faults: {error}\n")
    results = bench.results()
    if chosen.rows is not None:
        rows(results).to_csv(chosen.rows, index=False)
    print()
    print(tables(Figures(results, chosen.out)))


if __name__ == "__main__":
    main()
