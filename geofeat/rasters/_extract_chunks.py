"""Rows cut into consecutive chunks, for transformers that read no raster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from geofeat.rasters._extract_points import PointTable
from geofeat.rasters._extract_rows import RowChunk

_CHUNK_BYTES = 2**25
_CHUNK_ROWS = 2**17


class ChunkPlan:
    """Groups of consecutive rows, for transformers that read no raster.

    Parameters
    ----------
    points : PointTable
        The points.
    width : int
        Columns of the output.
    """

    warnings: tuple[str, ...] = ()

    def __init__(self, points: PointTable, width: int):
        self._points = points
        self._rows = max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // (8 * width)))
        places = points.places
        own = {places.geometry, places.x, places.y}
        self._extra = [name for name in points.names if name not in own]
        self._next = 0
        self._frames: Iterator[Any] = iter(())

    @property
    def sizes(self) -> list[int]:
        """Rows of each group."""
        starts = range(0, self._points.n_rows, self._rows)
        return [min(self._rows, self._points.n_rows - start) for start in starts]

    def chains(self) -> Iterator[list[int]]:
        """Each group by itself."""
        return ([number] for number in range(len(self.sizes)))

    def load(self, number: int) -> RowChunk:
        """Read the rows of a group; the next one is at hand, others are looked up."""
        first = number * self._rows
        if number != self._next or not number:
            self._frames = self._points.frames(self._rows, first, self._extra)
        self._next = number + 1
        return RowChunk(number, first, next(self._frames))

    def refuse_changed_files(self) -> None:
        """Do nothing: no file but that of the points is read."""
