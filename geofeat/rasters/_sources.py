"""What a source must offer, and the right source for a path or an array."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

if TYPE_CHECKING:
    from geofeat.rasters._areas import Areas
    from geofeat.rasters._blocks import BlockWindow
    from geofeat.rasters._candidates import Candidates
    from geofeat.rasters._sink import PixelSink


class PixelReader(Protocol):
    """Reads the candidates of one call; a context whose end closes every file.

    ``block`` holds, for every candidate, a number of the block that must be read for it.
    """

    block: np.ndarray

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def windows(self, which: np.ndarray) -> list[BlockWindow]:
        """Units of reading that hold the candidates ``which``, none twice."""
        ...

    def stored_bytes(self, window: BlockWindow) -> int:
        """Bytes to be read for a window."""
        ...

    def read(self, window: BlockWindow, sink: PixelSink) -> None:
        """Decode a window and hand its candidates to the sink; called from many threads."""
        ...


class Source(Protocol):
    """Where an embedding raster lies and how it is decoded.

    `EmbeddingRasterSampler` takes any object with these members.
    """

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands, in the order of storage."""
        ...

    @property
    def years(self) -> tuple[int, ...] | None:
        """Years on hand, ascending; None when layers carry no year."""
        ...

    @property
    def overlap(self) -> str:
        """Which pixel counts where several hold a point: "mean" for all, else the first valid."""
        ...

    def locate(self, lon: np.ndarray, lat: np.ndarray, year: np.ndarray) -> Candidates:
        """Pixels that may serve points, from degrees and the year each asks for."""
        ...

    def reader(self, found: Candidates, bands: np.ndarray) -> PixelReader:
        """Reader of the bands at the given positions."""
        ...


class ArealSource(Source, Protocol):
    """A source that polygons can be sampled from."""

    def areas(self, polygons: np.ndarray, year: np.ndarray) -> Areas:
        """Parts of polygons in each file.

        ``polygons`` is an object array of shapely polygons in degrees, longitudes in [-180, 180],
        None where one is missing; ``year`` the year that each asks for.
        """
        ...


def open_source(source: Any) -> Source:
    """Find the source that an argument of `EmbeddingRasterSampler` means.

    Parameters
    ----------
    source : Source, xarray.DataArray or Dataset, path-like, or list of paths
        A source is returned as it is. An array becomes an `ArraySource`. A Zarr store becomes a
        `ZarrSource`, a Parquet file with a column of lists of numbers an `EmbeddingTableSource` of
        its footprints, a folder of TESSERA tiles a `TesseraSource`, an index file or AlphaEarth
        rasters an `AlphaEarthSource`, other rasters a `RasterSource`.

    Returns
    -------
    source : Source
        Ready for sampling.
    """
    from geofeat.rasters._array_source import ArraySource
    from geofeat.rasters._raster_source import RasterSource

    if all(hasattr(type(source), member) for member in ("locate", "reader", "band_names")):
        found: Source = source
        return found
    xarray = sys.modules.get("xarray")
    if xarray is not None and isinstance(source, xarray.DataArray | xarray.Dataset):
        return ArraySource(source)
    if isinstance(source, str | os.PathLike):
        return _source_at(os.fspath(source))
    if isinstance(source, list | tuple) and all(isinstance(p, str | os.PathLike) for p in source):
        return _source_of_rasters(list(source))
    if hasattr(source, "columns") and "path" in source.columns:
        return RasterSource(source)
    raise TypeError(
        f"source must be a Source, a path, a list of paths or an xarray.DataArray, got "
        f"{type(source).__name__}."
    )


def _source_at(path: str) -> Source:
    from geofeat.rasters._alphaearth import AlphaEarthSource
    from geofeat.rasters._alphaearth_tables import index_suffix
    from geofeat.rasters._table_files import looks_like_table
    from geofeat.rasters._table_source import EmbeddingTableSource
    from geofeat.rasters._tessera import TesseraSource
    from geofeat.rasters._tessera_folder import looks_like_tessera
    from geofeat.rasters._zarr_source import PUBLIC_STORES, ZarrSource
    from geofeat.rasters._zarr_store import looks_like_zarr

    if path in PUBLIC_STORES or looks_like_zarr(path):
        return ZarrSource(path)
    if looks_like_table(path):
        return EmbeddingTableSource(path)
    if index_suffix(path):
        return AlphaEarthSource(path)
    if Path(path).is_dir() and looks_like_tessera(path):
        return TesseraSource(path)
    return _source_of_rasters(path)


def _source_of_rasters(paths: Any) -> Source:
    from geofeat.rasters._alphaearth import AlphaEarthSource, is_alphaearth
    from geofeat.rasters._header import read_header
    from geofeat.rasters._raster_files import raster_paths
    from geofeat.rasters._raster_source import RasterSource

    header = read_header(raster_paths(paths)[0])
    if is_alphaearth(header):
        return AlphaEarthSource(paths)
    if header.n_bands == 64 and header.dtype == "int8":
        raise ValueError(
            f"{header.path} has 64 int8 bands without AlphaEarth's names A00 to A63. Say what they "
            "are: AlphaEarthSource(...) decodes them, RasterSource(...) takes them as stored."
        )
    return RasterSource(paths)
