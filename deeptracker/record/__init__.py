"""What happens next to the training: description of the model, hooks, statistics. Torch, never zarr."""

from deeptracker.record.answers import Answers
from deeptracker.record.bystander import Bystander
from deeptracker.record.optimizers import Optimizers
from deeptracker.record.plan import Plan, plan_of
from deeptracker.record.probe import Probe
from deeptracker.record.ranks import Exchange, is_sharded
from deeptracker.record.snapshots import Snapshots

__all__ = ["Answers", "Bystander", "Exchange", "Optimizers", "Plan", "Probe", "Snapshots", "is_sharded", "plan_of"]
