"""What the tests of the recorder share: runs that stay in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from deeptracker.testing import MemorySink


@pytest.fixture
def sinks(monkeypatch: pytest.MonkeyPatch) -> dict[Path, MemorySink]:
    """Recorders made in the test write into these sinks, path → sink; a path that is used again is resumed."""
    kept: dict[Path, MemorySink] = {}

    def open_sink(path: Path, rank: int, *, resume: bool, flush_secs: float) -> MemorySink:
        return kept.setdefault(path, MemorySink())

    monkeypatch.setattr("deeptracker.recording.recorder.open_sink", open_sink)
    return kept
