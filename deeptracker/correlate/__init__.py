"""What the weights and the answers have to do with one another: join, cube, mini-sets."""

from deeptracker.correlate.cost import correlation_cost
from deeptracker.correlate.stage import correlate, cube

__all__ = ["correlate", "correlation_cost", "cube"]
