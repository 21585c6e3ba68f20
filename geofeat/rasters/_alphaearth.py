"""AlphaEarthSource: the AlphaEarth Foundations annual satellite embedding as files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from geofeat.exceptions import RasterMismatchError
from geofeat.rasters._alphaearth_index import AlphaEarthIndex
from geofeat.rasters._candidates import NO_LAYER_YEAR, Candidates
from geofeat.rasters._catalogue import SearchRules, search_layers
from geofeat.rasters._decoding import AEF_NODATA
from geofeat.rasters._header import RasterHeader
from geofeat.rasters._raster_files import RasterFiles, raster_paths, year_in_path
from geofeat.rasters._raster_reader import RasterReader
from geofeat.rasters._source_state import ImmutableSource

N_BANDS = 64
_INDEX_SUFFIXES = (".parquet", ".gpkg", ".csv")


class AlphaEarthSource(ImmutableSource):
    """AlphaEarth Foundations embeddings [1]_ on disk, for `EmbeddingRasterSampler`.

    One GeoTIFF holds 64 int8 bands of 10 m pixels in one UTM zone and year, rows from the south up
    in the published files and in any order here. A stored q stands for sign(q) (q / 127.5)^2, -128
    for nothing. A point is served by the file whose footprint covers it, that of the point's own
    UTM zone first; where its pixel is empty the next file is asked.

    Parameters
    ----------
    path : path-like or sequence of path-like
        A folder of files, a file, a pattern, a list of files, or an index: ``aef_index.parquet``,
        ``.gpkg``, ``.csv`` or the STAC geoparquet. Without an index, footprints are the rasters'
        own and years come from the paths, ``.../<year>/<zone>/<name>.tiff``.
    root : path-like, default=None
        Folder below which the ``<year>/<zone>/<name>`` of an index lie. None: the index's folder.
    prefixes : mapping of str to str, default=None
        Beginnings of an index's paths and what replaces them, such as
        ``{"gs://alphaearth_foundations/": "/data/aef/"}``. Tried before ``root``.
    year : int, default=None
        Year of all files where their paths do not tell it.
    max_block_bytes : int, default=2**28
        Largest block that may be decoded; a file with larger ones raises `LimitError`.

    Attributes
    ----------
    attribution : str
        What the licence of the data, CC BY 4.0, asks to be shown.
    band_names : tuple of str
        ``A00`` to ``A63``.
    years : tuple of int or None
        Years on hand.

    References
    ----------
    .. [1] C. F. Brown et al., "AlphaEarth Foundations: An embedding field model for accurate and
       efficient global mapping from sparse label data", arXiv:2507.22291, 2025.

    Examples
    --------
    >>> from geofeat import AlphaEarthSource
    >>> source = AlphaEarthSource("aef_index.parquet", root="/data/aef/annual")
    >>> source.band_names[:2]
    ('A00', 'A01')
    """

    attribution = (
        "The AlphaEarth Foundations Satellite Embedding dataset is produced by Google and Google "
        "DeepMind."
    )
    overlap = "first"

    def __init__(
        self,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        root: str | os.PathLike[str] | None = None,
        prefixes: Mapping[str, str] | None = None,
        year: int | None = None,
        max_block_bytes: int = 2**28,
    ):
        self.path = path
        self.root = root
        self.prefixes = prefixes
        self.year = year
        self.max_block_bytes = max_block_bytes
        self._found: AlphaEarthIndex | RasterFiles | None = None

    @property
    def band_names(self) -> tuple[str, ...]:
        """``A00`` to ``A63``."""
        return tuple(f"A{band:02d}" for band in range(N_BANDS))

    @property
    def years(self) -> tuple[int, ...] | None:
        """Years on hand, ascending; None when neither index nor paths tell any."""
        return self._files().years

    def locate(self, lon: np.ndarray, lat: np.ndarray, year: np.ndarray) -> Candidates:
        """Pixels that may serve points, best first; see `Candidates`."""
        files = self._files()
        return search_layers(
            lon,
            lat,
            year,
            files.layer,
            files.header,
            files.covered_at_all,
            SearchRules(declared=isinstance(files, AlphaEarthIndex), own_zone_first=True),
        )

    def reader(self, found: Candidates, bands: np.ndarray) -> RasterReader:
        """Reader of the bands at the given positions."""
        return RasterReader(found, bands, "aef", self.max_block_bytes)

    def _files(self) -> AlphaEarthIndex | RasterFiles:
        if self._found is None:
            self._found = self._find()
        return self._found

    def _find(self) -> AlphaEarthIndex | RasterFiles:
        if isinstance(self.path, str | os.PathLike):
            path = os.fspath(self.path)
            if Path(path).suffix.lower() in _INDEX_SUFFIXES:
                root = None if self.root is None else os.fspath(self.root)
                return AlphaEarthIndex(path, root, dict(self.prefixes or {}), _as_alphaearth)
        paths = raster_paths(self.path)
        if self.year is not None:
            return RasterFiles(paths, [int(self.year)] * len(paths), _as_alphaearth)
        years = [year_in_path(path) for path in paths]
        if all(year is None for year in years):
            return RasterFiles(paths, [NO_LAYER_YEAR] * len(paths), _as_alphaearth)
        for path, year in zip(paths, years, strict=True):
            if year is None:
                raise ValueError(
                    f"the path {path} tells no year, others do. Give an index, a folder with one "
                    "folder a year, or year= for files of one year."
                )
        return RasterFiles(paths, [int(year) for year in years if year is not None], _as_alphaearth)


def is_alphaearth(header: RasterHeader) -> bool:
    """Whether a raster says that it is an AlphaEarth file: 64 bytes a pixel, bands A00, ..."""
    return (
        header.n_bands == N_BANDS
        and header.dtype in ("int8", "uint8")
        and header.descriptions[0] == "A00"
    )


def _as_alphaearth(header: RasterHeader) -> RasterHeader:
    """Check the header of a file declared to be AlphaEarth's."""
    # GDAL before 3.7 has no signed bytes and delivers the same bytes unsigned.
    if header.n_bands != N_BANDS or header.dtype not in ("int8", "uint8"):
        raise RasterMismatchError(
            header.path,
            f"has {header.n_bands} {header.dtype} bands, AlphaEarth files {N_BANDS} int8 ones; "
            "RasterSource reads other rasters, numbers decoded before with decode='none'",
        )
    return header._replace(nodata=(float(AEF_NODATA),) * N_BANDS)
