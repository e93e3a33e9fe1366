"""What of an index stays when its run has grown: bins that were complete, passes that were counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deeptracker.aggregate.carried import sizes_of
from deeptracker.aggregate.windows import Readable
from deeptracker.schema.indexed import BIN_SIZES
from deeptracker.store.stage import package_version

_TRAINING = ("filters/dense", "layers/dense")
_FULL = "layers/full"
_BY_PASS = ("classes", "all")


class Earlier:
    """The index before this one, and how much of each recorded group it covers for good.

    No dataclass: Dask would look for tasks in all of its fields.

    Parameters
    ----------
    run : the run, whose stage "index" is the one before.
    rows : recorded group → its first rows, whose results stay; a group that is not there is indexed anew.
    """

    def __init__(self, run: Any, rows: Mapping[str, int]) -> None:
        self.run, self.rows = run, dict(rows)

    def after(self, group: str) -> int:
        """Rows of a group of the index that stay as they are."""
        if group.startswith("index/validation/"):
            view, _, table = group.removeprefix("index/").rpartition("/")
            name, _, size = table.partition("_")
            passes = self.rows.get(view, 0) if name in _BY_PASS and self.run.has(group) else 0
            return passes // int(size or 1)
        if group.endswith("_distributions"):
            return self.rows.get(_FULL, 0)
        recorded = _TRAINING[0] if group.startswith(("index/filters_", "index/layer_quantiles")) else _TRAINING[1]
        size = group.rpartition("_")[2]
        return self.rows.get(recorded, 0) // (int(size) if size.isdigit() else 1)


def provenance(run: Readable) -> dict[str, Any]:
    """What the next index has to know of this one, to tell how much of it stays."""
    commit: Any = getattr(run, "commit", None)
    if commit is None:  # a run in memory
        return {}
    rows = {path: growth.rows for path, growth in commit.groups.items() if _is_indexed(path)}
    return {"log": {"run": commit.run, "cuts": commit.cuts, "rows": rows, "tables": _tables(commit)}}


def earlier(run: Readable) -> Earlier | None:
    """The index before this one, where rows of it can stay; None where all is to be made anew.

    It stays where it was made by this version of the package, and the log has only grown since: no row was cut, and
    neither layers nor images were described anew. Training stays up to the last complete bin of the largest size; all
    of it is read again when it has grown so long that a coarser bin appears for the first time.
    """
    commit: Any = getattr(run, "commit", None)
    made = getattr(run, "stages", {}).get("index")
    if commit is None or made is None or made.get("package_version") != package_version():
        return None
    log = made.get("log", {})
    if (log.get("run"), log.get("cuts")) != (commit.run, commit.cuts):
        return None
    now, then = _tables(commit), log["tables"]
    rows = {}
    for path, before in log["rows"].items():
        described = "architecture" if path in (*_TRAINING, _FULL) else f"images/{path.split('/')[1]}"
        if path not in commit.groups or now.get(described) != then.get(described):
            continue
        keep = before
        if path in _TRAINING:
            records = commit.groups[path].rows
            keep = min(before, records - 1) // BIN_SIZES[-1] * BIN_SIZES[-1]
            sizes = sizes_of(run, path, records)
            keep = keep if all(run.has(f"index/{path.split('/')[0]}_{size}") for size in sizes) else 0
        if keep:
            rows[path] = keep
    return Earlier(run, rows) if rows else None


def _is_indexed(path: str) -> bool:
    return path in (*_TRAINING, _FULL) or path.startswith("validation/")


def _tables(commit: Any) -> dict[str, int]:
    """Versions of the tables that the index rests on."""
    return {
        path: version for path, version in commit.tables.items() if path.split("/")[0] in ("architecture", "images")
    }


__all__ = ["Earlier", "earlier", "provenance"]
