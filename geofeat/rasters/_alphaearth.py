"""AlphaEarthSource: the AlphaEarth Foundations annual satellite embedding as files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geofeat.exceptions import RasterMismatchError
from geofeat.rasters._alphaearth_index import (
    GOOGLE_CLOUD,
    SOURCE_COOPERATIVE,
    AlphaEarthIndex,
)
from geofeat.rasters._alphaearth_tables import INDEX_SUFFIXES, index_suffix
from geofeat.rasters._area_serving import ServingFile, files_serving
from geofeat.rasters._areas import Areas
from geofeat.rasters._areas_in_files import areas_in_layers
from geofeat.rasters._candidates import NO_LAYER_YEAR, Candidates
from geofeat.rasters._catalogue import SearchRules, search_layers
from geofeat.rasters._header import RasterHeader
from geofeat.rasters._projection import PixelGrid
from geofeat.rasters._raster_files import RasterFiles, raster_paths, year_in_path
from geofeat.rasters._raster_reader import RasterReader
from geofeat.rasters._remote import is_remote
from geofeat.rasters._source_state import ImmutableSource

N_BANDS = 64


class AlphaEarthSource(ImmutableSource):
    """AlphaEarth Foundations embeddings [1]_, for `EmbeddingRasterSampler`.

    One GeoTIFF holds 64 int8 bands of 10 m pixels in one UTM zone and year, rows from the south up
    in the published files and in any order here. A stored q stands for sign(q) (q / 127.5)^2, -128
    for nothing. A point is served by the file whose footprint covers it, that of the point's own
    UTM zone first; where its pixel is empty the next file is asked.

    Parameters
    ----------
    path : path-like or sequence of path-like, default=None
        A folder of files, a file, a pattern, a list of files, or an index: ``aef_index.parquet``,
        ``.gpkg``, ``.csv`` or the STAC geoparquet. A folder in which one ``aef_index.*`` lies is
        read by it unless ``year`` is given. Without an index, years come from the paths,
        ``.../<year>/<zone>/<name>.tiff``, and each raster serves the points of its own UTM zone
        only, as in the index; a file named alone serves all that it covers. An index may be the
        address (https, s3, gs) of a parquet file, or of the folder of ``aef_index.parquet``.
        None: the public one, ``AlphaEarthSource.source_cooperative``.
    root : path-like, default=None
        Folder or address below which the ``<year>/<zone>/<name>`` of an index lie. None: where
        the index says; but of a local index in a folder with one of the year, in that folder.
    prefixes : mapping of str to str, default=None
        Folders that an index's paths begin with and the folders or addresses that replace them,
        such as ``{"gs://alphaearth_foundations/": "/data/aef/"}``. Tried before ``root``.
    year : int, default=None
        Year of all files where their paths do not tell it; an index tells its own.
    max_block_bytes : int, default=2**28
        Largest block that may be decoded; a file with larger ones raises `LimitError`.

    Attributes
    ----------
    attribution : str
        What the licence of the data, CC BY 4.0, asks to be shown.
    source_cooperative, google_cloud : str
        Addresses of the two public indexes. Both lead to the same files; Source Cooperative asks
        nobody for an account, Google's bucket has at times charged the reader's.
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
    source_cooperative = SOURCE_COOPERATIVE
    google_cloud = GOOGLE_CLOUD
    overlap = "first"
    # Beyond their footprint, rasters reach into the next zone with numbers that do not count.
    uses_overhang = False

    def __init__(
        self,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
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
        return search_layers(lon, lat, year, *self._search())

    def areas(self, polygons: np.ndarray, year: np.ndarray) -> Areas:
        """Parts of polygons in degrees that lie in each file's footprint; see `Areas`."""
        return areas_in_layers(polygons, year, *self._search())

    def _search(self) -> tuple[Any, Any, Any, SearchRules]:
        files = self._files()
        rules = SearchRules(declared=isinstance(files, AlphaEarthIndex), own_zone_first=True)
        return files.layer, files.header, files.covered_at_all, rules

    def serving(self, lon: np.ndarray, lat: np.ndarray, year: int) -> list[ServingFile] | None:
        """Files that serve all places inside a closed line alike; see `files_serving`."""
        return files_serving(lon, lat, year, *self._search())

    def whole_grid(self) -> PixelGrid | None:
        """Grid of the only file, None where there are several or an index."""
        files = self._files()
        return files.only_grid() if isinstance(files, RasterFiles) else None

    def reader(self, found: Candidates, bands: np.ndarray) -> RasterReader:
        """Reader of the bands at the given positions."""
        return RasterReader(found, bands, "aef", self.max_block_bytes)

    def _files(self) -> AlphaEarthIndex | RasterFiles:
        if self._found is None:
            self._found = self._find()
        return self._found

    def _find(self) -> AlphaEarthIndex | RasterFiles:
        given = SOURCE_COOPERATIVE if self.path is None else self.path
        path: str | list[str] = (
            _in_home(given)
            if isinstance(given, str | os.PathLike)
            else [_in_home(path) for path in given]
        )
        index = self._index_at(path)
        if index is not None:
            if self.year is not None:
                raise ValueError(f"{index} tells the year of each file, year= has no meaning here")
            root = None if self.root is None else _in_home(self.root)
            prefixes = {start: _in_home(to) for start, to in (self.prefixes or {}).items()}
            return AlphaEarthIndex(index, root, prefixes, _as_alphaearth)
        if self.root is not None or self.prefixes is not None:
            raise ValueError("root= and prefixes= tell where the files of an index lie; give one")
        paths = raster_paths(path)
        years = [self.year if self.year is not None else year_in_path(file) for file in paths]
        if all(year is None for year in years):
            years = [NO_LAYER_YEAR] * len(paths)
        for file, year in zip(paths, years, strict=True):
            if year is None:
                raise ValueError(
                    f"the path {file} tells no year, others do. Give an index, a folder with one "
                    "folder a year, or year= for files of one year."
                )
        return RasterFiles(
            paths,
            [int(year) for year in years if year is not None],
            _as_alphaearth,
            own_zone_only=paths != [path],
        )

    def _index_at(self, path: str | list[str]) -> str | None:
        """Index that a path names, or the only one in the folder that it names."""
        if isinstance(path, list):
            return None
        if index_suffix(path):
            return path
        if is_remote(path):
            is_file = path.lower().endswith((".tif", ".tiff"))
            return None if is_file else f"{path.rstrip('/')}/aef_index.parquet"
        if self.year is not None or not Path(path).is_dir():
            return None
        found = [file for file in Path(path).glob("aef_index.*") if file.suffix in INDEX_SUFFIXES]
        return str(found[0]) if len(found) == 1 else None


def _in_home(path: str | os.PathLike[str]) -> str:
    """Path with ~ replaced by the home folder."""
    return os.path.expanduser(os.fspath(path))  # noqa: PTH111 - Path makes s3:/ of s3://


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
    for band, name in enumerate(header.descriptions):
        if name and name != f"A{band:02d}":
            raise RasterMismatchError(
                header.path,
                f"calls its band {band + 1} {name!r}, AlphaEarth files A{band:02d}; RasterSource "
                "reads other rasters",
            )
    return header
