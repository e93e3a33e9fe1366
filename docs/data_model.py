"""Writes the page of the data model from the registry: ``python docs/data_model.py > docs/data-model.md``."""

from __future__ import annotations

from deeptracker.schema import DERIVED, RECORDED
from deeptracker.schema.variable import DIMENSIONS, Group

HEAD = """# The data model

Written by `python docs/data_model.py` from `deeptracker/schema`. A run holds the groups below; `run.dataset(group)`
opens one as an xarray Dataset. `<set>` is the name of a validation set, `<weights>` is `raw` or `ema`, `<number>` the
number of a layer. Where nothing was measured there is NaN, −1 or an empty text; non-finite values are stored as they
are. Iterations are true training steps, strictly increasing and unevenly spaced.
"""


def group_page(group: Group) -> str:
    """One group: what it holds, and a row a variable. Pyramids of one level are described once."""
    rows = [f"\n### `{group.path}`\n", f"{group.description[0].upper()}{group.description[1:]}.\n"]
    rows += ["| variable | dimensions | type | unit | meaning |", "|---|---|---|---|---|"]
    for v in group.variables:
        meaning = v.formula.replace("|", "\\|")
        rows.append(f"| `{v.name}` | {', '.join(v.dims)} | {v.dtype} | {v.units} | {meaning} |")
    return "\n".join(rows)


def page() -> str:
    """The whole page, Markdown."""
    parts = [HEAD, "\n## Dimensions\n", "| dimension | meaning |", "|---|---|"]
    parts += [f"| `{name}` | {meaning.replace('|', chr(92) + '|')} |" for name, meaning in DIMENSIONS.items()]
    parts.append("\n## Recorded")
    parts += [group_page(group) for group in RECORDED]
    parts.append("\n## Derived by `deeptracker analyze`")
    parts += [group_page(group) for group in DERIVED if not group.path.endswith(("_64", "_512"))]
    parts.append("\nThe groups that end in `_8` exist with `_64` and `_512` too.")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page())
