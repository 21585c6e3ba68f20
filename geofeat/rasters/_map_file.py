"""A map on disk: written piece by piece, then copied whole to a cloud-optimized GeoTIFF."""

from __future__ import annotations

import colorsys
import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from geofeat._threads import usable_threads
from geofeat.rasters._map_grid import MapGrid, Tile

BLOCK = 512
_STALE_SECONDS = 24 * 3600
# Uncompressed pieces beside the copy, which compresses to less.
_DISK_SHARE = 2


class MapLayout(NamedTuple):
    """Bands of a map: how many, type, nodata, their names, and the labels of codes 1, 2, ..."""

    n_layers: int
    dtype: str
    nodata: float
    names: Sequence[str]
    labels: Sequence[str] = ()


class MapWriter:
    """Takes pieces of a map; used through `written_whole`."""

    def __init__(self, dataset: Any):
        self._dataset = dataset

    def put(self, tile: Tile, values: np.ndarray) -> None:
        """Write the values, shape (layers, height, width), of a piece."""
        from rasterio.windows import Window

        self._dataset.write(values, window=Window(tile.col, tile.row, tile.width, tile.height))


@contextmanager
def written_whole(
    path: Path, grid: MapGrid, layout: MapLayout, tags: dict[str, str], *, overwrite: bool
) -> Iterator[MapWriter]:
    """Give a writer, and its map the name ``path`` once everything is written.

    What is not finished lies in a hidden folder beside it, which goes in every case.
    """
    import rasterio
    import rasterio.shutil
    from rasterio.crs import CRS

    refuse_existing(path, overwrite)
    _remove_stale(path)
    folder = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    folder.mkdir()
    try:
        _require_space(folder, grid, layout)
        with rasterio.open(
            folder / "pieces.tif",
            "w",
            driver="GTiff",
            width=grid.width,
            height=grid.height,
            count=layout.n_layers,
            dtype=layout.dtype,
            nodata=layout.nodata,
            crs=CRS.from_wkt(grid.crs),
            transform=rasterio.Affine(*grid.transform),
            tiled=True,
            blockxsize=BLOCK,
            blockysize=BLOCK,
            interleave="band",
            BIGTIFF="IF_SAFER",
            SPARSE_OK=True,
        ) as dataset:
            _describe(dataset, layout, tags)
            yield MapWriter(dataset)
        is_code = bool(layout.labels)
        rasterio.shutil.copy(
            str(folder / "pieces.tif"),
            str(folder / "map.tif"),
            driver="COG",
            COMPRESS="DEFLATE",
            PREDICTOR="NO" if is_code else "YES",
            BLOCKSIZE=BLOCK,
            OVERVIEWS="AUTO",
            OVERVIEW_RESAMPLING="MODE" if is_code else "AVERAGE",
            BIGTIFF="IF_SAFER",
            NUM_THREADS=usable_threads(),
        )
        _sync(folder / "map.tif")
        refuse_existing(path, overwrite)
        (folder / "map.tif").replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # makes the new name last, where the system knows how
        _sync(path.parent)


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise FileExistsError if there is such a file that may not be replaced."""
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; overwrite=True replaces it.")


def _describe(dataset: Any, layout: MapLayout, tags: dict[str, str]) -> None:
    dataset.update_tags(**tags)
    for band, name in enumerate(layout.names, start=1):
        dataset.set_band_description(band, name)
    if layout.labels:
        codes = {f"CLASS_{code}": label for code, label in enumerate(layout.labels, start=1)}
        dataset.update_tags(1, **codes)
        dataset.write_colormap(1, _colours(len(layout.labels)))


def _colours(n_classes: int) -> dict[int, tuple[int, int, int, int]]:
    """Red, green, blue and opacity of each code: hues a golden angle apart, nothing for 0."""
    colours = {0: (0, 0, 0, 0)}
    for code in range(1, n_classes + 1):
        light = (0.45, 0.6, 0.75)[code % 3]
        red, green, blue = colorsys.hls_to_rgb((code * 0.618033988749895) % 1.0, light, 0.65)
        colours[code] = (round(255 * red), round(255 * green), round(255 * blue), 255)
    return colours


def _require_space(folder: Path, grid: MapGrid, layout: MapLayout) -> None:
    n_bytes = grid.width * grid.height * layout.n_layers * np.dtype(layout.dtype).itemsize
    free = shutil.disk_usage(folder).free
    if _DISK_SHARE * n_bytes > free:
        raise OSError(
            errno.ENOSPC,
            f"a map of {grid.width} x {grid.height} pixels may need {_DISK_SHARE * n_bytes} bytes "
            f"while it is written, {free} are free",
            str(folder.parent),
        )


def _remove_stale(path: Path) -> None:
    """Remove what runs that were killed a day ago or earlier left behind."""
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
