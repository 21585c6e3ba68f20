"""Neighbourhoods of points -> rows of the output: weighted means, or statistics of all values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from geofeat._threads import run_slabs
from geofeat.kernels._pixel_statistics import medians, standard_deviations
from geofeat.rasters._candidates import NODATA, OK, Candidates
from geofeat.rasters._neighbourhoods import AroundPoints, Neighbourhood, neighbourhoods
from geofeat.rasters._reading import (
    Outcome,
    first_valid,
    mean_of_points,
    read_windows,
    settle,
)
from geofeat.rasters._sink import UNREAD, PixelSink
from geofeat.rasters._sources import Source
from geofeat.rasters._weighted_reading import PixelGroups, read_weighted

_VALUES_PER_SLAB = 2**18


class NeighbourhoodReader:
    """Reads the neighbourhoods of candidates and reduces each to one row.

    Parameters
    ----------
    source : Source
        Where the pixels lie.
    found : Candidates
        Pixels that hold the points.
    places : tuple of three arrays of shape (n_points,)
        Longitude, latitude and year of the points.
    bands : int64 array of shape (bands,)
        Positions of the bands to read.
    missing : {"any", "all"}
        Whether one missing band makes a pixel missing.
    around : Neighbourhood
        What is taken around a point.
    progress : bool or None
        As in `EmbeddingRasterSampler`.

    Attributes
    ----------
    absent : list of str
        Files named by the source that would hold pixels around points, and that are not there.
    """

    def __init__(
        self,
        source: Source,
        found: Candidates,
        places: tuple[np.ndarray, np.ndarray, np.ndarray],
        bands: np.ndarray,
        missing: str,
        around: Neighbourhood,
        progress: bool | None,
    ):
        self._source, self._found, self._places = source, found, places
        self._bands, self._missing, self._around = bands, missing, around
        self._progress = progress
        self._beyond: dict[str, int] = {}
        self.absent: list[str] = []

    def fill(self, out: np.ndarray) -> Outcome:
        """Fill rows of ``out``, float32 of shape (n_points, bands).

        Where a candidate's neighbourhood has no value, the point's next candidate is tried; a
        source with ``overlap`` "mean" averages all of them.
        """
        found = self._found
        starts = found.first_of_points()
        status = np.full(found.point.size, UNREAD, dtype=np.uint8)
        if self._source.overlap == "mean":
            everyone = np.arange(found.point.size)
            values = np.empty((everyone.size, self._bands.size), dtype=np.float32)
            status = self._reduce(everyone, values, everyone)
            valid = status == OK
            points, means = mean_of_points(found.point[valid], values[valid])
            out[points] = means
            best = first_valid(status, found, starts)
        else:
            best, ends = starts[:-1].copy(), starts[1:]
            needed = np.flatnonzero(best < ends)
            while needed.size:
                which = best[needed]
                status[which] = self._reduce(which, out, needed)
                failed = needed[status[which] != OK]
                best[failed] += 1
                needed = failed[best[failed] < ends[failed]]
        return settle(found, best, status, out, list(self._beyond.items()))

    def _reduce(self, which: np.ndarray, out: np.ndarray, into: np.ndarray) -> np.ndarray:
        """Write the values of the candidates ``which`` to rows ``into``; tell what became of each.

        Candidates without a value get NaN.
        """
        status = np.full(which.size, NODATA, dtype=np.uint8)
        reduce = self._collect if self._around.collects else self._sum
        parts = neighbourhoods(
            self._source, self._found, which, self._places, self._around, self._bands
        )
        for part, pixels in parts:
            self.absent.extend(pixels.absent)
            rows, share, at_point = reduce(pixels)
            valid = (share > 0) & (share >= self._around.min_valid * (1 - 1e-12))
            if self._around.strict:
                valid &= at_point == OK
            rows[~valid] = np.nan
            out[into[part]] = rows
            status[part] = np.where(valid, OK, np.where(at_point == OK, NODATA, at_point))
        return status

    def _sum(self, pixels: AroundPoints) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weighted means, the valid share of the weights, and the status of the points' pixels."""
        used = pixels.used
        group = np.nonzero(used)[0]
        place = (values[used] for values in (pixels.file, pixels.row, pixels.col, pixels.weight))
        moments = read_weighted(
            self._source,
            PixelGroups(group, *place),
            pixels.files,
            used.shape[0],
            self._bands,
            self._missing,
            progress=self._progress,
        )
        self._note(moments.beyond_limit)
        with np.errstate(invalid="ignore"):
            mean = np.divide(moments.total, moments.weight, out=moments.total).astype(np.float32)
        share = moments.weight.max(axis=1) / pixels.weight.sum(axis=1)
        return mean, share, _at_points(pixels, moments.status)

    def _collect(self, pixels: AroundPoints) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Statistics of all values; else as `_sum`."""
        candidates = pixels.candidates()
        n_points, n_around = pixels.file.shape
        n_bands = self._bands.size
        values = np.full((n_points * n_around, n_bands), np.nan, dtype=np.float32)
        sink = PixelSink(values, candidates.point.size, self._missing)
        everyone = np.arange(candidates.point.size)
        with self._source.reader(candidates, self._bands) as reader:
            read_windows(reader, everyone, everyone, candidates, sink, self._progress)
        self._note(getattr(reader, "beyond_limit", []))
        around = values.reshape(n_points, n_around, n_bands)
        rows = np.empty((n_points, n_bands), dtype=np.float32)
        count = np.empty((n_points, n_bands), dtype=np.int64)
        statistic = _STATISTICS[self._around.statistic]
        run_slabs(
            lambda start, stop: statistic(around[start:stop], rows[start:stop], count[start:stop]),
            n_points,
            max(1, _VALUES_PER_SLAB // (n_around * n_bands)),
        )
        share = count.max(axis=1) / (pixels.weight > 0).sum(axis=1)
        return rows, share, _at_points(pixels, sink.status)

    def _note(self, beyond_limit: list[tuple[str, int]]) -> None:
        for path, count in beyond_limit:
            self._beyond[path] = self._beyond.get(path, 0) + count


def _at_points(pixels: AroundPoints, status: np.ndarray) -> np.ndarray:
    """Status of the pixel that holds each point, of the statuses of all used pixels."""
    whole = np.full(pixels.file.shape, NODATA, dtype=np.uint8)
    whole[pixels.used] = status
    at_point: np.ndarray = whole[np.arange(len(whole)), pixels.anchor]
    return at_point


_STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], None]] = {
    "median": medians,
    "std": standard_deviations,
}
