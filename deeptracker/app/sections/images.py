"""Images a row each: of one class, of the open event, or chosen ones; under them all images."""

from __future__ import annotations

from typing import Any

import panel as pn
from bokeh.events import Tap

from deeptracker.app.context import BESIDE, Context, Section, pane
from deeptracker.app.controls import Controls, bound, select, text
from deeptracker.screen import coordinate
from deeptracker.screen.answers import classes_of
from deeptracker.view import pages, words
from deeptracker.view.answers.images import ClassImages, positions
from deeptracker.view.answers.pixels import PixelChart
from deeptracker.view.heading import heading

TEXT = "Every image is a row; hover shows the picture and the answer, a click selects it."
OF = (("class", "of a class"), ("event", "of the open event"), ("chosen", "selected ones"))


class ImagesSection(Section):
    """The images of the class that was selected last, of the event, or by id; a click on a row selects an image."""

    name, title = "section-images", "Images"

    @classmethod
    def offered(cls, context: Context) -> bool:
        return context.view is not None and not pages.missing_validation(context.run)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.images: ClassImages | None = None
        assert context.view is not None
        self.view = context.view
        self.names = list(classes_of(self.run, self.view).names)
        self.pixels = PixelChart(self.run, self.view, self.timeline)
        self.images = ClassImages(self.run, self.view, self.timeline, index=self._wanted())
        options = [(name, words.class_name(name)) for name in self.names]
        fields = [select("class", options), text("ids", "ids", "17 23 40", "ids of images, with spaces between")]
        self.label = Controls(fields=fields, values=self._chosen(), **BESIDE)
        kind = bound(self.state, [select("of", OF, "images")], **BESIDE)
        every = heading("All images", "The whole validation set, grouped by class.", [self.pixels.scale])
        self.heading = self.head("Images", TEXT)
        self.parts = [
            pn.Row(pane(self.heading), kind, self.label, sizing_mode="stretch_width", margin=0),
            pane(self.images.plot),
            pane(every),
            pane(self.pixels.plot),
        ]
        self.images.plot.on_event(Tap, self._tap)
        self.label.param.watch(self._choose, "values")
        self.state.param.watch(lambda *_: self.soon(self._open), ["classes", "images", "of", "event"])
        if self.state.of != "class":
            self._open()

    def expression(self) -> str:
        ids = self.images.rows.data["id"] if self.images is not None else []
        known = {str(one): one for one in coordinate(self.run, f"validation/{self.view}", "image").tolist()}
        chosen = [known[one] for one in ids if one in known]
        return f'run.dataset("validation/{self.view}").correct.sel(image={chosen})'

    def _wanted(self) -> int:
        name = self.state.classes[-1] if self.state.classes else pages.suspect_class(self.run)
        return self.names.index(name) if name in self.names else 0

    def _chosen(self) -> dict[str, str]:
        index = self.images.index if self.images is not None else 0
        return {"class": self.names[index], "ids": " ".join(self.state.images)}

    def _choose(self, change: Any) -> None:
        assert self.images is not None
        name, ids = change.new.get("class"), str(change.new.get("ids") or "").split()
        if ids != " ".join(self.state.images).split():
            self.state.param.update(images=ids[:64], of="chosen" if ids else "class")
        elif name in self.names and name != self.names[self.images.index]:
            self.state.param.update(classes=[name], of="class")

    def _open(self) -> None:
        """Put the wanted images into the figure."""
        assert self.images is not None
        state, said = self.state, TEXT
        event = self.context.events.get(state.event)
        if state.of == "event" and event is not None and event.get("images"):
            ids = [str(one) for one in event["images"]]
            self.images.put(positions(self.run, self.view, ids), f"event {state.event}")
        elif state.of == "chosen" and state.images:
            rows = positions(self.run, self.view, state.images)
            unknown = len(state.images) - len(rows)
            said = f"{TEXT} <b>{words.count(unknown, 'id')} not in this set.</b>" if unknown else TEXT
            self.images.put(rows, "selected images")
        else:
            if state.of != "class":
                what = "no event with images is open" if state.of == "event" else "no image is selected"
                said = f"{TEXT} <b>{what.capitalize()}: a class is shown.</b>"
            self.images.show(self._wanted() if state.classes else max(self.images.index, 0))
        self.heading.text = self.head("Images", said).text
        self.label.values = self._chosen()

    def _tap(self, tap: Any) -> None:
        image = self.images.image_at(tap.y) if self.images is not None else None
        if image is not None:
            self.state.add("images", image, keep=bool(tap.modifiers and tap.modifiers["shift"]))
