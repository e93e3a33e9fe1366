"""What happens next to the training: description of the model, hooks, statistics. Torch, never zarr."""

from deeptracker.record.describe import Description, describe
from deeptracker.record.evaluate import evaluate
from deeptracker.record.measure import Measurement, Measurer
from deeptracker.record.probe import Probe
from deeptracker.record.schedule import Schedule

__all__ = ["Description", "Measurement", "Measurer", "Probe", "Schedule", "describe", "evaluate"]
