"""The images that an event names, with the answers before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deeptracker.screen import coordinate, table
from deeptracker.screen.answers import class_names
from deeptracker.view.event.events import Event
from deeptracker.view.thumbnails import thumbnails


@dataclass(frozen=True, slots=True)
class Flip:
    """One image: its id, class, the answers at the pass before the event and at the first pass in it, its picture."""

    image: Any
    target: int
    before: int
    after: int
    uri: str

    def caption(self, names: Sequence[str]) -> tuple[str, str, str]:
        """(data URI, sentence, short caption), as ``thumbnails.gallery`` takes them."""

        def name(index: int) -> str:
            return "–" if index < 0 else names[index] if index < len(names) else str(index)

        sentence = (
            f"image {self.image}, class {name(self.target)}: answered {name(self.before)}, then {name(self.after)}"
        )
        return self.uri, sentence, f"{name(self.before)} → {name(self.after)}"


def flipped(run: Any, view: str, event: Event, most: int) -> list[Flip]:
    """The first images of an event that have a picture.

    The pass before is the last one before the onset, the pass after the first one at or after it at which the image's
    answer differs (the first one where none differs).
    """
    ids = list(event.get("images") or ())
    group = f"validation/{view}"
    if not ids or not run.has(group):
        return []
    passes, names = coordinate(run, group, "validation"), coordinate(run, group, "image")
    where = {str(image): i for i, image in enumerate(names.tolist())}
    rows = np.array([where[str(image)] for image in ids if str(image) in where][:most], dtype=np.intp)
    first = int(np.searchsorted(passes, int(event["iteration"])))
    if len(rows) == 0 or first >= len(passes):
        return []
    uris = thumbnails(run, view, rows)
    if uris is None:
        return []
    end = max(int(event.get("end") or 0), int(event["iteration"]))
    last = min(max(int(np.searchsorted(passes, end, side="right")), first + 1), first + 64)
    said = table(run, group, ["predicted"], select={"validation": slice(max(first - 1, 0), last), "image": rows})
    answers = np.asarray(said["predicted"].values)
    targets = table(run, f"images/{view.split('/')[0]}", ["target"])["target"].values
    flips = []
    for column, (row, uri) in enumerate(zip(rows, uris, strict=True)):
        series = answers[:, column]
        differs = np.flatnonzero(series != series[0])
        after = series[differs[0]] if len(differs) else series[min(1, len(series) - 1)]
        flips.append(Flip(names[row], int(targets[row]), int(series[0]), int(after), uri))
    return flips


def class_of(run: Any, view: str, event: Event) -> str | None:
    """The class to open with an event: the one it names, else that of most of its images; None without either."""
    if event.get("classes"):
        return str(event["classes"][0])
    images = f"images/{view.split('/')[0]}"
    if not event.get("images") or not run.has(images):
        return None
    known = table(run, images, ["target"])
    wanted = {str(image) for image in event["images"]}
    mine = np.array([str(image) in wanted for image in known["image"].values.tolist()])
    targets = np.asarray(known["target"].values)[mine]
    targets = targets[targets >= 0]
    names = class_names(run, view, int(targets.max()) + 1) if len(targets) else ()
    return names[int(np.bincount(targets).argmax())] if names else None
