"""The images of one class, and all images."""

from __future__ import annotations

from typing import Any

from deeptracker.app.context import BESIDE, Context, Section, pane, titled
from deeptracker.app.controls import Controls, select
from deeptracker.screen.answers import classes_of
from deeptracker.view import pages, words
from deeptracker.view.answers.images import ClassImages
from deeptracker.view.answers.pixels import PixelChart
from deeptracker.view.heading import heading

TEXT = "Every image is a row; hover shows the picture and the answer."


class ImagesSection(Section):
    """The images of the class that was selected last, a row each; under it all images."""

    name = "section-images"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.images: ClassImages | None = None
        if pages.missing_validation(self.run) or context.view is None:
            return
        self.names = list(classes_of(self.run, context.view).names)
        self.pixels = PixelChart(self.run, context.view, self.timeline)
        self.images = ClassImages(self.run, context.view, self.timeline, index=self._wanted())
        options = [(name, words.class_name(name)) for name in self.names]
        self.label = Controls(
            fields=[select("class", options)], values={"class": self.names[self.images.index]}, **BESIDE
        )
        every = heading("All images", "The whole validation set, grouped by class.", [self.pixels.scale])
        self.parts = [
            titled(heading("Images of one class", TEXT), self.label),
            pane(self.images.plot),
            pane(every),
            pane(self.pixels.plot),
        ]
        self.label.param.watch(self._choose, "values")
        self.state.param.watch(lambda *_: self._open(), "classes")

    def _wanted(self) -> int:
        name = self.state.classes[-1] if self.state.classes else pages.suspect_class(self.run)
        return self.names.index(name) if name in self.names else 0

    def _choose(self, change: Any) -> None:
        assert self.images is not None
        name = change.new.get("class")
        if name in self.names and name != self.names[self.images.index]:
            self.state.param.update(classes=[name])

    def _open(self) -> None:
        assert self.images is not None
        index = self._wanted() if self.state.classes else self.images.index
        if index != self.images.index:
            self.images.show(index)
        self.label.values = {"class": self.names[index]}
