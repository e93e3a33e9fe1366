"""Zarr arrays of a run that grow by whole files, read with every checksum compared."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.core.metadata.v3 import ArrayV3Metadata
from zarr.storage import LocalStore

from deeptracker.errors import DamagedRunError
from deeptracker.store.described import Description, of_zarr
from deeptracker.store.inner import Inner
from deeptracker.store.place import Batch, Place, place_of
from deeptracker.store.sealed import seal_metadata, unseal
from deeptracker.store.spans import Thinned
from deeptracker.store.zarrays import Filling, Writable, read_description, reshaped

Key = tuple[Any, ...]


class RowFiles:
    """An array of a run: each of its files holds whole rows, so that it grows by whole files.

    How many rows count is the caller's to say; the metadata of a growing array may lag behind.

    Parameters
    ----------
    folder : folder of the array.
    metadata : what the array says of itself, where that is at hand.
    """

    def __init__(self, folder: Place | Path, metadata: ArrayV3Metadata | None = None) -> None:
        self.folder = place_of(folder)
        described = read_description(self.folder) if metadata is None else of_zarr(metadata)
        self.described: Description = described
        self.file_shape = described.file_shape
        self._views: dict[tuple[tuple[int, ...], bool], zarr.Array[Any]] = {}
        ours = self.folder.is_here and described.packing is not None
        self._inner = Inner(described, self.folder) if ours else None

    @property
    def file_rows(self) -> int:
        """Rows in one file."""
        return self.file_shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape as the metadata say."""
        return self.described.shape

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes."""
        return self.described.dims

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the array."""
        return dict(self.described.attributes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy dtype of the array."""
        return self.described.dtype

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.described.shape[1:]

    def file(self, number: int, folder: Place | None = None) -> Any:
        """One file of the array, or of an array like it in another ``folder``."""
        return (folder or self.folder).joinpath(*self._name(number))

    def _name(self, number: int) -> tuple[str, ...]:
        return ("c", str(number), *("0" for _ in self.file_shape[1:]))

    def _view(self, shape: tuple[int, ...], fast: bool, files: Any) -> zarr.Array[Any]:
        brought = self.folder.fetch(["/".join(self._name(int(number))) for number in files])
        if brought is not None:
            return reshaped(self.described.metadata, brought, shape, fast)
        found = self._views.get((shape, fast))
        if found is None:
            if len(self._views) > 8:
                self._views.clear()
            store = LocalStore(self.folder, read_only=True)
            found = self._views[shape, fast] = reshaped(self.described.metadata, store, shape, fast)
        return found

    def read(self, rows: slice | np.ndarray[Any, Any], rest: Key) -> np.ndarray[Any, Any]:
        """At least one row of the array, every byte checked.

        Parameters
        ----------
        rows : a slice with positive step, or sorted row numbers.
        rest : an int, slice with positive step or array for each other axis.

        Raises
        ------
        DamagedRunError
            A file is missing, or its bytes are not what was written.
        """
        size = self.file_rows
        whole = all(isinstance(k, slice) and k == slice(None) for k in rest)
        if isinstance(rows, slice):
            count = len(range(rows.start, rows.stop, rows.step or 1))
            first, last = rows.start, rows.start + (count - 1) * (rows.step or 1)
            files: Any = range(first // size, last // size + 1)
        else:
            count, first, last = len(rows), int(rows[0]), int(rows[-1])
            files = np.unique(rows // size)
        if 0 in self.row_shape:  # nothing lies on disk (no optimizer: no learning rates)
            return np.empty((count, *self.row_shape), self.dtype)[(slice(None), *rest)]
        start, stop = first // size * size, (last // size + 1) * size
        padded = tuple(-(-n // c) * c for n, c in zip(self.row_shape, self.file_shape[1:], strict=True))
        if self.folder.is_here and not self.file(last // size).exists():  # before memory is set aside for all of them
            self._check_present([last // size])
        # By its own chunks, unless whole shards are wanted, which zarrs reads faster.
        inner = self._inner if isinstance(rows, slice) and rows.step in (None, 1) and _sliced(rest) else None
        try:
            if inner is not None and (inner.plain or not whole or count * 2 < stop - start):
                return inner.read(range(first, last + 1), rest, self.row_shape)
            if whole and count * 2 >= stop - start:
                self._check_present(files)
                block = self._view((stop, *padded), True, files)[(slice(start, stop), *(slice(None) for _ in padded))]
                self._check_present(files)  # one that went while it was read was taken for fill values
                picked = (
                    slice(first - start, last + 1 - start, rows.step) if isinstance(rows, slice) else rows - start
                )
                return np.asarray(block)[(picked, *(slice(0, n) for n in self.row_shape))]
            self._check_present(files)
            view = self._view((stop, *self.row_shape), False, files)
            if isinstance(rows, slice) and all(isinstance(k, slice | int | np.integer) for k in rest):
                values = np.asarray(view[(slice(first, last + 1, rows.step), *rest)])
            else:
                values = np.asarray(view.oindex[(rows, *rest)])
            self._check_present(files)
            return values
        except DamagedRunError:
            raise
        except Exception as error:  # of NumPy, Zarr, zarrs and codecs, each in its own way
            raise DamagedRunError(f"{self.folder}: {error}") from error

    def _check_present(self, files: Any) -> None:
        for number in files if self.folder.is_here else ():
            if not self.file(int(number)).exists():
                raise DamagedRunError(
                    f"{self.folder}: the file of rows from {int(number) * self.file_rows} is missing"
                )

    def write(
        self,
        start: int,
        data: np.ndarray[Any, Any],
        filling: Filling,
        batch: Batch,
        thinned: Thinned | None = None,
    ) -> None:
        """Put rows at ``start``, the end of the array then; earlier rows are never at risk.

        Parameters
        ----------
        start : row at which the data begin; rows before it must be there.
        data : shape (rows, …).
        filling, batch : what the files become part of; to be finished in this order, then they take their places.
        thinned : rows that are gone: a file that they begin may be missing, and is begun again.
        """
        size, done = self.file_rows, 0
        while done < len(data) and 0 not in self.row_shape:
            number, offset = divmod(start + done, size)
            take = min(size - offset, len(data) - done)
            # Inner chunks past the last row stay away: a shard that is begun costs what it holds.
            chunk = self.described.chunks[0]
            rows = -(-(offset + take) // chunk) * chunk
            block = np.full((rows, *self.row_shape), self.described.fill, data.dtype)
            gone = thinned is not None and bool(thinned.covers(number * size)) and not self.file(number).exists()
            if offset and not gone:
                block[:offset] = self.read(slice(number * size, number * size + offset), self._everything())
            block[offset : offset + take] = data[done : done + take]
            self.replace(number, block, filling, batch)
            done += take
        self.set_rows(start + len(data), batch)

    def replace(self, number: int, block: np.ndarray[Any, Any], filling: Filling, batch: Batch) -> None:
        """Have a file hold these rows, whole inner chunks of them, from its first on."""
        place, there = batch.file(self.folder, number, len(self.file_shape))
        first = there * self.file_rows
        array = Writable(self.described.metadata, place, (first + self.file_rows, *self.row_shape))
        filling.add(array, slice(first, first + len(block)), block)

    def _everything(self) -> Key:
        return tuple(slice(None) for _ in self.row_shape)

    def set_rows(self, rows: int, batch: Batch) -> None:
        """Say in the metadata how many rows there are, for readers that know nothing of the commit."""
        path = self.folder / "zarr.json"
        document = unseal(path.read_bytes())
        document["shape"][0] = rows
        batch.write(path, seal_metadata(document))

    def drop_after(self, rows: int) -> None:
        """Remove files that hold no row before ``rows``."""
        folder = self.folder / "c"
        past = [
            child
            for child in (folder.iterdir() if folder.is_dir() else ())
            if child.name.isdigit() and int(child.name) * self.file_rows >= rows
        ]
        plain = [child.name for child in past if child.is_file()]
        folder.drop(plain)
        for child in past:
            if child.name not in plain:
                child.remove(strict=True)


def _sliced(rest: Key) -> bool:
    return all(isinstance(key, slice) and key.step in (None, 1) for key in rest)


@lru_cache(maxsize=2048)
def row_files(folder: Place | Path, history: object) -> RowFiles:
    """An open array, kept for as long as the ``history`` it belongs to is the same."""
    return RowFiles(folder)


__all__ = ["Key", "RowFiles", "row_files"]
