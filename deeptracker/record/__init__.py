"""What happens next to the training: description of the model, hooks, statistics. Torch, never zarr."""

from deeptracker.record.answers import Answers
from deeptracker.record.budget import budget_of
from deeptracker.record.optimizers import Optimizers
from deeptracker.record.plan import Plan
from deeptracker.record.probe import Probe
from deeptracker.record.schedule import Overhead, Schedule
from deeptracker.record.snapshots import Snapshots

__all__ = ["Answers", "Optimizers", "Overhead", "Plan", "Probe", "Schedule", "Snapshots", "budget_of"]
