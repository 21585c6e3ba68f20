"""RasterSource: GeoTIFF, COG and VRT files of any product."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geofeat._columns import describe_rows
from geofeat.rasters._area_serving import ServingFile, files_serving
from geofeat.rasters._areas import Areas
from geofeat.rasters._areas_in_files import areas_in_layers
from geofeat.rasters._candidates import NO_LAYER_YEAR, Candidates
from geofeat.rasters._catalogue import SearchRules, search_layers
from geofeat.rasters._decoding import check_rule, decoded_names
from geofeat.rasters._projection import PixelGrid
from geofeat.rasters._raster_files import RasterFiles, raster_paths
from geofeat.rasters._raster_reader import RasterReader
from geofeat.rasters._source_state import ImmutableSource
from geofeat.rasters._years import row_years

OVERLAPS = ("first", "interior", "mean")


class RasterSource(ImmutableSource):
    """Rasters named one by one, for `EmbeddingRasterSampler`.

    Any grid that a geotransform describes is read as it lies: north-up, south-up or rotated, in
    any CRS; files may differ in CRS. Nothing is opened before the first use.

    Parameters
    ----------
    paths : path-like, sequence of path-like, mapping or data frame
        A GeoTIFF, a COG, a ``.vrt``; a folder (searched for .tif and .tiff to any depth), a
        pattern with ``*``, a list of those; a mapping from year to one of those; a data frame with
        a column ``path`` and, if layers have years, ``year``.
    year : int or sequence of int, default=None
        Calendar year (or a date in it) of all files, or of each. None: the layers carry no year,
        or ``paths`` tells it.
    decode : {"none", "scale_offset", "aef", "esd"}, default="none"
        "none" takes the stored numbers, "scale_offset" applies the scale and offset that the file
        gives for each band, "aef" de-quantises AlphaEarth bytes, "esd" splits each monthly code of
        the Embedded Seamless Data into six numbers in [-1, 1]: ``esd_m01_1`` to ``esd_m12_6``.
        Nodata becomes NaN before.
    nodata : float or "zeros", default=None
        The number that stands for nothing, in place of the files' own. "zeros": a vector that is
        0 in all bands read stands for nothing, while a single 0 is a number, as Presto and
        Copernicus-Embed have it.
    overlap : {"first", "interior", "mean"}, default="first"
        Which pixel serves a point that several files contain: that of the first file with data
        there, in the order given (folders and patterns: sorted by path); that of the file whose
        edge is farthest, in pixels; or the mean of all decoded vectors.
    edge_tolerance : float, default=0.0
        Points beyond a raster's edge by up to this many pixels take the outermost pixel, unless
        another raster contains them.
    max_abs : float, default=None
        Pixels with a larger magnitude in any of the bands read are missing, with a warning that
        names the file; None switches the test off.
    max_block_bytes : int, default=2**28
        Largest block that may be decoded; a file with larger ones raises `LimitError`.

    Attributes
    ----------
    band_names : tuple of str
        Descriptions of the first file's bands, or ``band_001``, ``band_002``, ...
    years : tuple of int or None
        Years on hand.

    Examples
    --------
    >>> from geofeat import RasterSource
    >>> RasterSource({2022: "a_2022.tif", 2023: "a_2023.tif"}, decode="scale_offset")
    RasterSource({2022: 'a_2022.tif', 2023: 'a_2023.tif'}, decode='scale_offset')
    """

    def __init__(
        self,
        paths: str | os.PathLike[str] | Sequence[Any] | Mapping[int, Any] | Any,
        *,
        year: int | Sequence[int] | None = None,
        decode: str = "none",
        nodata: float | str | None = None,
        overlap: str = "first",
        edge_tolerance: float = 0.0,
        max_abs: float | None = None,
        max_block_bytes: int = 2**28,
    ):
        check_rule(decode, nodata)
        if overlap not in OVERLAPS:
            raise ValueError(f"overlap must be one of {OVERLAPS}, got {overlap!r}")
        if not edge_tolerance >= 0:
            raise ValueError(f"edge_tolerance must be 0 or more pixels, got {edge_tolerance}")
        if max_abs is not None and not max_abs > 0:
            raise ValueError(f"max_abs must be above 0, got {max_abs}")
        self.paths = paths
        self.year = year
        self.decode = decode
        self.nodata = nodata
        self.overlap = overlap
        self.edge_tolerance = edge_tolerance
        self.max_abs = max_abs
        self.max_block_bytes = max_block_bytes
        self._found: RasterFiles | None = None

    @property
    def band_names(self) -> tuple[str, ...]:
        """Descriptions of the first file's bands, else numbered names."""
        header = self._files().header(self._files().paths[0])
        names = [name or f"band_{i:03d}" for i, name in enumerate(header.descriptions, start=1)]
        if len(set(names)) < len(names):  # names that do not tell the bands apart
            names = [f"band_{i:03d}" for i in range(1, header.n_bands + 1)]
        return decoded_names(header.path, self.decode, names)

    @property
    def years(self) -> tuple[int, ...] | None:
        """Years on hand, ascending; None when the layers carry no year."""
        return self._files().years

    def locate(self, lon: np.ndarray, lat: np.ndarray, year: np.ndarray) -> Candidates:
        """Pixels that may serve points, best first; see `Candidates`."""
        return search_layers(lon, lat, year, *self._search())

    def areas(self, polygons: np.ndarray, year: np.ndarray) -> Areas:
        """Parts of polygons in degrees that lie in each file; see `Areas`.

        Where files overlap, ground goes to the first of them; with ``overlap="interior"`` to the
        file in which a point inside the polygon lies deepest, as far as that file reaches; with
        "mean" to all of them.
        """
        return areas_in_layers(polygons, year, *self._search(), exclusive=self.overlap != "mean")

    def _search(self) -> tuple[Any, Any, Any, SearchRules]:
        files = self._files()
        rules = SearchRules(
            declared=False,
            interior=self.overlap == "interior",
            edge_tolerance=self.edge_tolerance,
        )
        return files.layer, files.header, files.covered_at_all, rules

    def serving(self, lon: np.ndarray, lat: np.ndarray, year: int) -> list[ServingFile] | None:
        """Files that serve all places inside a closed line alike; see `files_serving`."""
        return files_serving(lon, lat, year, *self._search())

    def whole_grid(self) -> PixelGrid | None:
        """Grid of the only file, None where there are several."""
        return self._files().only_grid()

    def reader(self, found: Candidates, bands: np.ndarray) -> RasterReader:
        """Reader of the bands at the given positions."""
        limit = np.inf if self.max_abs is None else float(self.max_abs)
        return RasterReader(found, bands, self.decode, self.max_block_bytes, self.nodata, limit)

    def _files(self) -> RasterFiles:
        if self._found is None:
            self._found = RasterFiles(*self._list(), edge_tolerance=self.edge_tolerance)
        return self._found

    def _list(self) -> tuple[list[str], list[int]]:
        """Paths and the year of each."""
        if isinstance(self.paths, Mapping):
            if self.year is not None:
                raise ValueError("paths already tell the years: leave year=None")
            by_year = {int(year): raster_paths(named) for year, named in self.paths.items()}
            paths = [path for named in by_year.values() for path in named]
            return paths, [year for year, named in by_year.items() for _ in named]
        if hasattr(self.paths, "columns"):
            return self._list_frame(self.paths)
        paths = raster_paths(self.paths)
        return paths, self._given_years(len(paths))

    def _given_years(self, n_paths: int) -> list[int]:
        """``year`` for each path."""
        if self.year is None:
            return [NO_LAYER_YEAR] * n_paths
        if np.ndim(self.year) == 0:
            return _known_years([self.year], "year") * n_paths
        years = _known_years(self.year, "year")
        if len(years) != n_paths:
            raise ValueError(f"{n_paths} rasters but {len(years)} years were given")
        return years

    def _list_frame(self, frame: Any) -> tuple[list[str], list[int]]:
        if "path" not in frame.columns:
            raise ValueError(f"a frame of rasters needs a column path, got {list(frame.columns)}")
        paths = [path for named in frame["path"] for path in raster_paths(named)]
        if "year" not in frame.columns:
            return paths, self._given_years(len(paths))
        if self.year is not None:
            raise ValueError("the column year already tells the years: leave year=None")
        years = _known_years(frame["year"], "the column year")
        if len(years) != len(paths):
            raise ValueError("each row of a frame of rasters must name one file")
        return paths, years


def _known_years(values: Any, what: str) -> list[int]:
    years = row_years(values, what)
    missing = years == NO_LAYER_YEAR
    if missing.any():
        raise ValueError(f"{what} is missing in {describe_rows(missing)}: each raster needs one")
    return list(years.tolist())
