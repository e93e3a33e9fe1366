"""Shipped for tests, documentation and benchmarks: simulated runs of any size, and a sink in memory."""

from deeptracker.testing.memory import MemorySink, MemoryStage
from deeptracker.testing.simulate import simulate

__all__ = ["MemorySink", "MemoryStage", "simulate"]
