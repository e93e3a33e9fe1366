"""The figures of a bench as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from deeptracker.detect import ALLOWED
from deeptracker.testing.faults import FAULTS, UNNAMED
from deeptracker.trials.figures import BUDGET, LARGE, Figures, Result
from deeptracker.trials.judge import CAUSES
from deeptracker.trials.settings import SETTINGS, TUNED


def tables(figures: Figures) -> str:
    """All tables: what was found, false alarms, each kind of fault, and the baselines."""
    parts = [_overall(figures), _kinds(figures), _baselines(figures)]
    if figures.forks:
        parts.append(_KNOWN)
    return "\n\n".join(part for part in parts if part)


_KNOWN = (
    "The rules were written knowing the fifteen kinds without a star. Kinds with a star have no rule: right is where "
    "the event is found and called unknown."
)


def _overall(figures: Figures) -> str:
    columns = [*figures.settings, None] if len(figures.settings) > 1 else figures.settings
    heads = [f"{name} ({'tuned on' if name == TUNED else 'unseen'})" if name else "all" for name in columns]
    rows: list[list[str]] = []

    def row(words: str, cells: Iterable[object]) -> None:
        rows.append([words, *(str(cell) for cell in cells)])

    large = {name: figures.faults(name) for name in columns}
    unmasked = {name: figures.faults(name, least=0) for name in columns}
    row("false alarms per 1,000 iterations of clean runs", (figures.rate(name) for name in columns))
    row("that the alarm levels allow", [f"{sum(ALLOWED.values()):.2f}"] * len(columns))
    row(f"event recall@1, effect > {LARGE:g}", (figures.recall(large[name], 1) for name in columns))
    row(f"event recall@5, effect > {LARGE:g}", (figures.recall(large[name], 5) for name in columns))
    row("event recall@5, all unmasked", (figures.recall(unmasked[name], 5) for name in columns))
    row("layer@1 (dead, frozen, decay)", (figures.layer(large[name]) for name in columns))
    row("layer@3", (figures.layer(large[name], 3) for name in columns))
    row("average precision of filters (dead)", (figures.precision(large[name]) for name in columns))
    row("class@1 (flip, withheld, validation images)", (figures.class_(large[name]) for name in columns))
    row("the same, a withheld class dated by its planting", (figures.class_planted(large[name]) for name in columns))
    row("class@3", (figures.class_(large[name], 3) for name in columns))
    row("cause, macro-F1", (f"{figures.causes(name):.2f}" for name in columns))
    words = "\n".join(f"- *{name}*: {SETTINGS[name].words}" for name in figures.settings)
    return f"{words}\n\n{_markdown(['figure, 95% interval over base trainings', *heads], rows)}"


def _kinds(figures: Figures) -> str:
    rows = []
    for kind in FAULTS:
        mine = [one for one in figures.forks if one["truth"]["fault"] == kind]
        if not mine:
            continue
        severities = Counter(one["effect"]["severity"] for one in mine)
        large = [one for one in figures.faults() if one["truth"]["fault"] == kind]
        hit = [one for one in large if one["verdict"]["place"] == 1]
        causes = Counter(one["verdict"]["cause"] for one in large if one["verdict"]["place"])
        rows.append([
            kind + " *" * (kind in UNNAMED), str(len(mine)),
            " / ".join(str(severities[of]) for of in ("masked", "1–3", "3–10", "> 10")),
            f"{len(hit)} of {len(large)}" if CAUSES[kind] != "none" else "control",
            CAUSES[kind], ", ".join(f"{cause} {count}" for cause, count in causes.most_common(3)) or "–",
            str(sum(one["verdict"]["others"] for one in mine)),
        ])  # fmt: skip
    heads = ["planted (* no rule names it)", "forks", "masked / 1–3 / 3–10 / > 10"]
    heads += [f"first event hits, effect > {LARGE:g}", "right cause", "causes of events that hit", "other events"]
    return _markdown(heads, rows) if rows else ""


def _baselines(figures: Figures) -> str:
    rows = []
    for name, (first, five, less) in figures.against().items():
        told = f"{less.value:+.2f} [{less.low:+.2f}, {less.high:+.2f}]"
        rows.append([name, str(first), str(five), told, "yes" if less.low > 0 else "no"])
    if not rows:
        return ""
    heads = [
        f"at ≤ {BUDGET} false alarms per 1,000",
        "recall@1",
        "recall@5",
        "ours − this, @1, paired",
        "ours better",
    ]
    return _markdown(heads, rows)


def rows(results: Sequence[Result]) -> pd.DataFrame:
    """A row of each training: what was planted, what it did, what was found; empty where there is nothing to say."""
    return pd.DataFrame([
        {
            "setting": one["setting"], "training": one["name"], "fault": one["truth"]["fault"],
            "seed": one["truth"]["seed"], "planted": one["truth"]["iteration"],
            "onset": (one["effect"] or {}).get("onset"), "size": (one["effect"] or {}).get("size"),
            "place": one["verdict"]["place"], "cause": one["verdict"]["cause"], "layer": one["verdict"]["layer"],
            "class": one["verdict"]["class_"], "precision": one["verdict"]["precision"],
            "delay": one["verdict"]["delay"], "others": one["verdict"]["others"], "records": one["records"],
        }
        for one in results
    ]).astype(dict.fromkeys(("planted", "onset", "place", "layer", "class", "delay"), "Int64"))  # fmt: skip


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


__all__ = ["rows", "tables"]
