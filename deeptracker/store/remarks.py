"""What people said of the events of a run: confirmed, dismissed, or a note; it outlives the analysis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from deeptracker.errors import DamagedRunError, InputError
from deeptracker.schema import SCHEMA_VERSION
from deeptracker.store import plausible
from deeptracker.store.commit import require_known
from deeptracker.store.sealed import unseal
from deeptracker.store.twice import write_twice

if TYPE_CHECKING:
    from deeptracker.store.place import Place

REMARKS = "remarks.json"
VERDICTS = ("confirmed", "dismissed")
_NEAR = 2  # iterations by which an event's onset may move when it is found anew


@dataclass(frozen=True, slots=True)
class Remark:
    """A person's word on one event.

    Parameters
    ----------
    iteration, kind, cause, layers, classes : of the event, by which it is known again.
    verdict : one of ``VERDICTS``, or None.
    note : any text.
    when : UTC, as ISO 8601.
    """

    iteration: int
    kind: str
    cause: str
    layers: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    verdict: str | None = None
    note: str = ""
    when: str = ""

    @classmethod
    def on(cls, event: Mapping[str, Any], verdict: str | None, note: str) -> Remark:
        """A remark made now.

        Raises
        ------
        InputError : a verdict that does not exist.
        """
        if verdict is not None and verdict not in VERDICTS:
            raise InputError(f"verdict {verdict!r} is unknown: {' or '.join(VERDICTS)}, or none")
        names = {name: tuple(str(one) for one in event[name]) for name in ("layers", "classes")}
        when = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(
            int(event["iteration"]), event["kind"], event["cause"], **names, verdict=verdict, note=note, when=when
        )

    def fits(self, event: Mapping[str, Any]) -> bool:
        """Whether it was said of this event: of the same kind, begun within two iterations, with the same cause or
        a layer or class in common.
        """
        if event["kind"] != self.kind or abs(int(event["iteration"]) - self.iteration) > _NEAR:
            return False
        shared = {*self.layers} & {*event["layers"]} or {*self.classes} & {str(one) for one in event["classes"]}
        return event["cause"] == self.cause or bool(shared)


def load_remarks(folder: Place) -> list[Remark]:
    """All remarks on a run, oldest first."""
    try:
        raw = (folder / REMARKS).read_bytes()
        document = unseal(raw)
        require_known(folder, int(document["schema_version"]), raw)
        return [Remark(**plausible.remark(one)) for one in document["remarks"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):
        raise DamagedRunError(
            f"{folder / REMARKS} cannot be understood: restore it from a copy, or move it away to go on without it"
        ) from None


def keep_remark(
    folder: Place, events: Sequence[Mapping[str, Any]], rank: int, verdict: str | None = None, note: str = ""
) -> Remark:
    """Keep a remark on the event of this rank, in place of an earlier one; without verdict and note, that one is
    taken back.

    Raises
    ------
    InputError : no such rank or verdict. LockedRunError : another process keeps a remark just now.
    """
    event = next((one for one in events if one["rank"] == rank), None)
    if event is None:
        there = f"ranks are 1 to {len(events)}" if events else "it has none"
        raise InputError(f"{folder} has no event of rank {rank}: {there}")
    remark = Remark.on(event, verdict, note)
    lock = (folder / f"{REMARKS}.lock").lock(folder)
    try:
        kept = [one for one in load_remarks(folder) if not one.fits(event)]
        if verdict is not None or note:
            kept.append(remark)
        document = {"schema_version": SCHEMA_VERSION, "remarks": [asdict(one) for one in kept]}
        write_twice(folder, REMARKS, document)
    finally:
        lock.release()
    return remark


def ranked_events(texts: Iterable[str], folder: Place) -> list[dict[str, Any]]:
    """Events of a run as its analysis wrote them, anomalies first, strongest first, each with what was said of it.

    Raises
    ------
    DamagedRunError : they are not events.
    """
    try:
        documents = [plausible.event(str(text)) for text in texts]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DamagedRunError(
            f"{folder}: anomalies/events cannot be understood: deeptracker analyze {folder} makes them again"
        ) from None
    # Labels have no place among anomalies.
    ranked = sorted(documents, key=lambda d: (d["kind"] == "label", d["rank"] or 0))
    return remarked(ranked, load_remarks(folder))


def remarked(events: list[dict[str, Any]], remarks: list[Remark]) -> list[dict[str, Any]]:
    """Events with what was said of each as ``remark``: verdict, note and when; None where nothing was."""
    out = []
    for event in events:
        last = next((one for one in reversed(remarks) if one.fits(event)), None)
        said = None if last is None else {"verdict": last.verdict, "note": last.note, "when": last.when}
        out.append({**event, "remark": said})
    return out


__all__ = ["VERDICTS", "Remark", "keep_remark", "load_remarks", "ranked_events", "remarked"]
