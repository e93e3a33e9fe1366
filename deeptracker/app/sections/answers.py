"""What happened to the answers of a class: the two rules, what turned into what, and mistakes at two passes."""

from __future__ import annotations

from typing import Any

import panel as pn

from deeptracker.app.context import Context, Section, pane
from deeptracker.screen.answers import classes_of
from deeptracker.view import pages, words
from deeptracker.view.answers import confusion, rules
from deeptracker.view.heading import heading

TITLE = "Answers of one class"
TEXT = "Gains are drawn upwards, losses downwards: of the class that was selected last."
MISTAKES = (
    "What was taken for what at two passes: at the last two pins, else before and after the open event, else at both "
    "ends of what is shown."
)


class AnswersSection(Section):
    """Lines of L and R for several k, stacked counts, and confusion between two passes."""

    name, title = "section-answers", "Answers"

    @classmethod
    def offered(cls, context: Context) -> bool:
        return context.view is not None and not pages.missing_validation(context.run)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        assert context.view is not None
        self.view = context.view
        self.names = list(classes_of(self.run, self.view).names)
        self.box = pn.Column(sizing_mode="stretch_width", margin=0)
        self.index = 0
        self.heading = heading(TITLE, TEXT)
        if rules.has_rules(self.run, self.view) or self.run.has(f"index/validation/{self.view}/classes"):
            self.parts = [pane(self.heading), self.box]
            self._draw()
            self.state.param.watch(lambda *_: self.soon(self._draw), "classes")
        if len(self.names) > 1:
            self.confusion = confusion.Confusion(self.run, self.view)
            self.mistakes = heading("Mistakes", MISTAKES)
            matrices = [pn.pane.Bokeh(plot, margin=(4, 16, 8, 0)) for plot in self.confusion.plots]
            self.parts += [pane(self.mistakes), pn.FlexBox(*matrices, margin=0)]
            self._compare()
            self.state.param.watch(lambda *_: self.soon(self._compare), ["pins", "event", "start", "stop"])

    def _draw(self) -> None:
        name = self.state.classes[-1] if self.state.classes else pages.suspect_class(self.run)
        index = self.index = self.names.index(name) if name in self.names else 0
        title = words.class_name(self.names[index]) if len(self.names) > 1 else "all images"
        self.heading.text = self.head(f"{TITLE.removesuffix('one class')}{title}", TEXT).text
        plots: list[Any] = []
        if rules.has_rules(self.run, self.view):
            plots += rules.lines(self.run, self.view, self.timeline, index)
        counted = rules.counted(self.run, self.view, self.timeline, index)
        plots += [counted] if counted is not None else []
        self.box[:] = [pane(plot) for plot in plots]

    def expression(self) -> str:
        if rules.has_rules(self.run, self.view):
            return f'run.dataset("anomalies/validation/{self.view}/classes").left.isel({{"class": {self.index}}})'
        return f'run.dataset("index/validation/{self.view}/classes").event_counts.isel({{"class": {self.index}}})'

    def _ends(self) -> tuple[float, float]:
        """The two iterations whose passes are compared."""
        if len(self.state.pins) >= 2:
            return float(self.state.pins[-2]), float(self.state.pins[-1])
        event = self.context.events.get(self.state.event)
        if event is not None:
            onset = int(event["iteration"])
            passed = self.context.pass_after(onset)
            return float(onset - 1), float(passed)
        if self.state.start is not None and self.state.stop is not None:
            return float(self.state.start), float(self.state.stop)
        return self.timeline.full

    def _compare(self) -> None:
        self.confusion.show(*self._ends())
        a, b = confusion.passes_at(self.run, self.view, *self._ends())
        said = f'run.dataset("validation/{self.view}").predicted.isel(validation=[{a}, {b}])'
        self.mistakes.text = heading("Mistakes", MISTAKES, expression=said).text
