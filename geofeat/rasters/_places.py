"""What is sampled: points, with or without what lies around them, or polygons."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from geofeat._threads import run_slabs
from geofeat.kernels._gather import scale_to_unit_length
from geofeat.rasters._neighbourhoods import Neighbourhood
from geofeat.rasters._sampling import Sampled, count_layer, sample_layer
from geofeat.rasters._sources import Source
from geofeat.rasters._zonal_counting import count_zones
from geofeat.rasters._zonal_reading import Zonal, sample_zones

_ROWS_PER_SLAB = 2**14


class Reading(NamedTuple):
    """How a layer is read: parameters of the sampler, and the positions of its bands."""

    bands: np.ndarray
    missing: str
    fallback: str | None
    normalize: str | None
    progress: bool | None


class Places(Protocol):
    """Rows of X, ready for sampling."""

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        ...

    def part(self, rows: slice) -> Self:
        """Take some of the rows."""
        ...

    def sample(
        self, source: Source, year: np.ndarray, reading: Reading, out: np.ndarray
    ) -> Sampled:
        """Fill rows of ``out``, float32, from the layer of each row's year."""
        ...

    def count_coverage(
        self, source: Source, year: np.ndarray, bands: np.ndarray, fallback: str | None
    ) -> list[dict[str, Any]]:
        """Count what is there for the rows, one record a year."""
        ...


class PointPlaces(NamedTuple):
    """Longitude in [-180, 180) and latitude as float64 arrays, and what is taken around them."""

    lon: np.ndarray
    lat: np.ndarray
    around: Neighbourhood | None

    @property
    def n_rows(self) -> int:
        """Number of points."""
        return self.lon.size

    def part(self, rows: slice) -> Self:
        """Take some of the points."""
        return self._replace(lon=self.lon[rows], lat=self.lat[rows])

    def sample(
        self, source: Source, year: np.ndarray, reading: Reading, out: np.ndarray
    ) -> Sampled:
        """Fill rows of ``out``, float32 of shape (n, bands)."""
        layer = sample_layer(
            source,
            self.lon,
            self.lat,
            year,
            reading.bands,
            out,
            missing=reading.missing,
            fallback=reading.fallback,
            around=self.around,
            progress=reading.progress,
        )
        if reading.normalize == "l2":
            run_slabs(
                lambda start, stop: scale_to_unit_length(out[start:stop]),
                self.n_rows,
                _ROWS_PER_SLAB,
            )
        return layer

    def count_coverage(
        self, source: Source, year: np.ndarray, bands: np.ndarray, fallback: str | None
    ) -> list[dict[str, Any]]:
        """Count what is there for the points, one record a year."""
        return count_layer(source, self.lon, self.lat, year, bands, fallback, self.around)


class PolygonPlaces(NamedTuple):
    """Polygons in degrees, None where one is missing, and what is asked of them."""

    polygons: np.ndarray
    zonal: Zonal

    @property
    def n_rows(self) -> int:
        """Number of polygons."""
        return self.polygons.size

    def part(self, rows: slice) -> Self:
        """Take some of the polygons."""
        return self._replace(polygons=self.polygons[rows])

    def sample(
        self, source: Source, year: np.ndarray, reading: Reading, out: np.ndarray
    ) -> Sampled:
        """Fill rows of ``out``, float32 of shape (n, bands), one column more for coherence."""
        return sample_zones(
            source,
            self.polygons,
            year,
            reading.bands,
            out,
            self.zonal,
            fallback=reading.fallback,
            progress=reading.progress,
        )

    def count_coverage(
        self, source: Source, year: np.ndarray, bands: np.ndarray, fallback: str | None
    ) -> list[dict[str, Any]]:
        """Count what is there for the polygons, one record a year."""
        return count_zones(source, self.polygons, year, bands, fallback, self.zonal.statistic)
