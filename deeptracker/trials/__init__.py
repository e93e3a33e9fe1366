"""How often the analysis is right: faults planted in forks of real trainings, judged against their clean twins."""

from __future__ import annotations

from deeptracker.trials.bench import Bench, Plan
from deeptracker.trials.figures import Figures
from deeptracker.trials.settings import SETTINGS, TUNED
from deeptracker.trials.tables import rows, tables

__all__ = ["SETTINGS", "TUNED", "Bench", "Figures", "Plan", "rows", "tables"]
