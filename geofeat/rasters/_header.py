"""What a GeoTIFF says about itself, checked before a pixel is read."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from geofeat.exceptions import CorruptFileError, SourceError
from geofeat.rasters._projection import PixelGrid, project
from geofeat.rasters._remote import is_remote, remote_head, remote_stamp
from geofeat.rasters._remote_raster import HEAD_BYTES, open_in_memory, remote_raster
from geofeat.rasters._transport import IN_FLIGHT


class RasterHeader(NamedTuple):
    """The part of a raster's header that sampling needs, without an open file behind it.

    ``blocks`` is (height, width) of a block in pixels, ``planar`` whether bands lie apart.
    ``nodata``, ``scales``, ``offsets`` have one entry a band. ``stamp`` is what
    `file_stamp` tells.
    """

    path: str
    grid: PixelGrid
    epsg: int | None
    n_bands: int
    dtype: str
    blocks: tuple[int, int]
    planar: bool
    nodata: tuple[float | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    descriptions: tuple[str | None, ...]
    masked: bool
    stamp: tuple[int, int]


def open_raster(path: str) -> Any:
    """Open a dataset of this thread's own, by the GeoTIFF driver unless the name ends in .vrt.

    Of a remote file it tells everything but pixels; `geofeat.rasters._remote_raster` fetches those.
    """
    import rasterio
    from rasterio.errors import RasterioError

    if is_remote(path):
        return open_in_memory(path, remote_raster(path).directory.header())
    driver = "VRT" if path.lower().endswith(".vrt") else "GTiff"
    try:
        return rasterio.open(path, driver=driver, sharing=False)
    except RasterioError as error:
        if not Path(path).exists():
            raise FileNotFoundError(f"{path} does not exist") from error
        raise CorruptFileError(path, f"cannot be opened as {driver}: {error}") from error


def file_stamp(path: str) -> tuple[int, int]:
    """Size in bytes and time of last change in nanoseconds; of a remote file, a hash of its tag."""
    if is_remote(path):
        size, tag = remote_stamp(path)
        return size, int.from_bytes(hashlib.blake2b(tag.encode(), digest_size=7).digest())
    status = Path(path).stat()
    return status.st_size, status.st_mtime_ns


def file_exists(path: str) -> bool:
    """Whether there is such a file, here or on its server."""
    if not is_remote(path):
        return Path(path).exists()
    try:
        remote_head(path, HEAD_BYTES)
    except FileNotFoundError:
        return False
    return True


def look_at_remote(paths: Sequence[str]) -> None:
    """Look at remote files side by side; what is wrong with one is told when it is read."""
    remote = [path for path in paths if is_remote(path)]
    if len(remote) < 2:
        return

    def look(path: str) -> None:
        with suppress(OSError, ValueError):
            remote_head(path, HEAD_BYTES)

    with ThreadPoolExecutor(min(len(remote), IN_FLIGHT), thread_name_prefix="geofeat") as pool:
        for _ in pool.map(look, remote):
            pass


def read_header(path: str) -> RasterHeader:
    """Read and check the header of one raster.

    Raises
    ------
    CorruptFileError
        The file cannot be opened, or its bands differ in type or block shape.
    SourceError
        It has no CRS, one without a place on Earth, or no geotransform.
    """
    from pyproj.exceptions import ProjError
    from rasterio.enums import Interleaving, MaskFlags

    if is_remote(path):
        remote_head(path, HEAD_BYTES)  # one request for stamp and header
    stamp = file_stamp(path)
    with open_raster(path) as dataset:
        if dataset.crs is None:
            raise SourceError(
                path, "has no coordinate reference system; write one with gdal_edit -a_srs EPSG:..."
            )
        crs = dataset.crs.to_wkt()
        try:
            project(np.zeros(1), np.zeros(1), crs)
        except ProjError as error:
            raise SourceError(
                path, f"has a coordinate reference system without a place on Earth: {error}"
            ) from error
        transform = tuple(dataset.transform)[:6]
        determinant = transform[0] * transform[4] - transform[1] * transform[3]
        if not math.isfinite(determinant) or determinant == 0 or dataset.transform.is_identity:
            raise SourceError(path, f"has no usable geotransform: {transform}")
        if len(set(dataset.dtypes)) > 1 or len(set(dataset.block_shapes)) > 1:
            raise CorruptFileError(
                path, f"has bands of several types or block shapes: {sorted(set(dataset.dtypes))}"
            )
        if dataset.dtypes[0].startswith("complex"):
            raise SourceError(path, f"holds {dataset.dtypes[0]}, embeddings are real numbers")
        flags = dataset.mask_flag_enums[0]
        return RasterHeader(
            path=path,
            grid=PixelGrid(crs, transform, dataset.width, dataset.height),
            epsg=dataset.crs.to_epsg(),
            n_bands=dataset.count,
            dtype=dataset.dtypes[0],
            blocks=dataset.block_shapes[0],
            planar=dataset.count == 1 or dataset.interleaving != Interleaving.pixel,
            nodata=tuple(dataset.nodatavals),
            scales=tuple(dataset.scales),
            offsets=tuple(dataset.offsets),
            descriptions=tuple(dataset.descriptions),
            masked=MaskFlags.per_dataset in flags and MaskFlags.nodata not in flags,
            stamp=stamp,
        )
