"""What the batches hold is a fact: who was there twice, which class was gone; ordinary samplers raise no alarm."""

from __future__ import annotations

import numpy as np
import pytest

from deeptracker.detect import batches
from deeptracker.detect.alarms import Alarm
from deeptracker.detect.batches import MOST_CLASSES, Batches
from deeptracker.testing import MemorySink

RECORDS, SIZE, CLASSES = 400, 64, 10


def epochs(seed: int, classes: int = CLASSES, images: int = 4000, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Labels and ids of shuffled epochs."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, images)
    order = np.concatenate([rng.permutation(images) for _ in range(RECORDS * size // images + 1)])
    ids = order[: RECORDS * size].reshape(RECORDS, size)
    return label[ids], ids


def seen(labels: np.ndarray | None, ids: np.ndarray | None, window: int = 150) -> Batches:
    out = Batches()
    for start in range(0, RECORDS, window):
        part = slice(start, start + window)
        out.see(None if labels is None else labels[part], None if ids is None else ids[part])
    out.finish()
    return out


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("classes", "images", "size"), [(10, 4000, 64), (200, 9000, 128), (2, 500, 8)])
def test_batches__of_shuffled_epochs_are_ordinary(seed: int, classes: int, images: int, size: int) -> None:
    found = seen(*epochs(seed, classes, images, size))
    assert found.gone == []
    assert np.nanmax(np.concatenate(found.crowd)) < 8
    assert np.concatenate(found.repeated).max() < 0.25


def test_batches__a_class_that_is_withheld_is_gone_from_the_first_such_batch_to_the_last() -> None:
    labels, ids = epochs(0)
    away = labels[200:300]
    away[away == 3] = 7
    [(label, first, last, expected)] = seen(labels, ids).gone
    assert (label, first, last) == (3, 200, 299)
    assert expected == pytest.approx(100 * SIZE / CLASSES, rel=0.1)


def test_batches__a_class_that_is_gone_at_the_end_is_told() -> None:
    labels, ids = epochs(0)
    labels[350:][labels[350:] == 3] = 7
    assert [one[:3] for one in seen(labels, ids).gone] == [(3, 350, RECORDS - 1)]


def test_batches__sorted_classes_crowd() -> None:
    labels, ids = epochs(0)
    labels[200:240] = (np.arange(40) // 4 % CLASSES)[:, None]
    crowd = np.concatenate(seen(labels, ids).crowd)
    assert crowd[200:240].min() > 50
    assert np.nanmax(np.delete(crowd, np.arange(200, 240))) < 8


def test_batches__pairs_alike_are_standardised() -> None:
    rng = np.random.default_rng(1)
    labels = rng.choice(5, (4000, 32), p=[0.4, 0.3, 0.15, 0.1, 0.05])
    out = Batches()
    out.see(labels, None)
    crowd = out.crowd[0][1000:]
    assert abs(crowd.mean()) < 0.1
    assert crowd.std() == pytest.approx(1, abs=0.1)


def test_batches__repeated_images_are_counted_and_fillers_are_none() -> None:
    ids = np.arange(RECORDS * SIZE).reshape(RECORDS, SIZE)
    ids[5] = ids[5][np.arange(SIZE) % 4]
    ids[6, 40:] = -1
    repeated = np.concatenate(seen(None, ids).repeated)
    assert repeated[5] == (SIZE - 4) / SIZE
    assert np.delete(repeated, 5).max() == 0
    assert np.isnan(np.concatenate(seen(None, ids).crowd)).all()


@pytest.mark.parametrize("window", [1, 7, 400])
def test_batches__do_not_depend_on_windows(window: int) -> None:
    labels, ids = epochs(2)
    labels[200:300][labels[200:300] == 3] = 7
    one, other = seen(labels, ids), seen(labels, ids, window)
    assert one.gone == other.gone
    np.testing.assert_allclose(np.concatenate(one.crowd), np.concatenate(other.crowd))


def test_batches__labels_that_are_no_classes_are_passed_by() -> None:
    labels, ids = epochs(0)
    found = seen(labels + MOST_CLASSES, ids)
    assert found.gone == []
    assert np.isnan(np.concatenate(found.crowd)).all()
    assert len(np.concatenate(found.repeated)) == RECORDS


def test_batches__of_many_classes_are_counted_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, ids = epochs(2)
    labels[200:300][labels[200:300] == 3] = 7
    one = seen(labels, ids)
    monkeypatch.setattr(batches, "_CELLS", 30)
    other = seen(labels, ids)
    assert one.gone == other.gone
    np.testing.assert_allclose(np.concatenate(one.crowd), np.concatenate(other.crowd))


def told(labels: np.ndarray, ids: np.ndarray) -> list[Alarm]:
    sink = MemorySink()
    for step in range(RECORDS):
        sink.append("batches", step, {"batch_labels": labels[step], "batch_ids": ids[step]})
    return batches.batch_alarms(sink, 10)  # type: ignore[arg-type]


def test_batch_alarms__of_labels_that_are_renamed_are_no_order_of_the_data() -> None:
    labels, ids = epochs(0)
    flipped = labels[200:240]
    flipped[flipped == 3] = 7
    flipped[5, :40] = 7  # one of these batches is crowded by it
    [alarm] = told(labels, ids)
    assert (alarm.what, alarm.place, alarm.facts["instead"]) == ("relabelled", 3, 7)


def test_batch_alarms__of_few_classes_at_a_time_are_that_also_where_others_are_gone() -> None:
    labels, ids = epochs(0)
    labels[200:240] = (np.arange(40) // 20 % CLASSES)[:, None]
    assert "crowded" in {alarm.what for alarm in told(labels, ids)}


def test_batch_alarms__of_a_class_that_is_gone_begin_where_that_is_no_longer_ordinary() -> None:
    labels, ids = epochs(0)
    away = labels[200:300]
    away[away == 3] = (np.arange((away == 3).sum()) % 9 + 4) % CLASSES  # any of the others
    [alarm] = told(labels, ids)
    # 6.4 images of it were expected in each batch; 15 (half of 30, which prove it) by the third, 30 by the fifth.
    assert (alarm.what, alarm.place, alarm.start, alarm.onset, alarm.known_at) == ("gone", 3, 200, 202, 204)
    assert alarm.end == 299
