"""GeoTIFFs on servers: headers read once, chunks fetched side by side and handed to GDAL."""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from geofeat.exceptions import CorruptFileError, SourceError
from geofeat.rasters._addresses import shown
from geofeat.rasters._remote import RemoteStamp, read_ranges, remote_head, remote_stamp
from geofeat.rasters._tiff_directory import TiffDirectory
from geofeat.rasters._transport import Halted

# Holds the header of an AlphaEarth file: two tables of 4096 numbers, and those of the overviews.
HEAD_BYTES = 2**17
_STEP_BYTES = 2**16
_KEPT_FILES = 64
_KEPT_BYTES = 2**26
_MAX_CHUNK_BYTES = 2**29


class Area(NamedTuple):
    """Rows and columns of a raster in pixels."""

    row: int
    col: int
    height: int
    width: int


class RemoteRaster:
    """Header of a remote GeoTIFF and the way to its chunks.

    Parameters
    ----------
    url : str
        Address.

    Attributes
    ----------
    stamp : RemoteStamp
        State of the file that the header belongs to.
    directory : TiffDirectory
        Where its chunks lie.
    """

    def __init__(self, url: str):
        self.url = url
        head = remote_head(url, HEAD_BYTES)
        self.stamp = remote_stamp(url)
        self.directory = TiffDirectory(
            shown(url), self.stamp.size, _header_reader(url, head, self.stamp)
        )

    def chunks(self, area: Area, bands: np.ndarray, masked: bool) -> list[tuple[int, np.ndarray]]:
        """Chunks of an area: of the image, and of its mask; bands count from 0."""
        image = self.directory.images[0]
        planes = np.asarray(bands) if self.directory.planar else np.zeros(1, dtype=np.int64)
        found = [(0, image.touched(*area, planes))]
        if masked and len(self.directory.images) > 1:
            found.append((1, self.directory.images[1].touched(*area, np.zeros(1, dtype=np.int64))))
        return found

    def stored_bytes(self, area: Area, bands: np.ndarray, masked: bool) -> int:
        """Bytes of the chunks of an area."""
        return sum(
            int(self.directory.images[image].size.ravel()[positions].sum())
            for image, positions in self.chunks(area, bands, masked)
        )

    def fetch(
        self, area: Area, bands: np.ndarray, masked: bool, halted: Halted | None = None
    ) -> FetchedArea:
        """Fetch the chunks of an area, unless nobody waits for them any more."""
        wanted = [
            (image, position, int(chunks.offset.flat[position]), int(chunks.size.flat[position]))
            for image, positions in self.chunks(area, bands, masked)
            for chunks in [self.directory.images[image]]
            for position in positions.tolist()
        ]
        stored = [(image, position) for image, position, _, size in wanted if size]
        ranges = [(offset, size) for _, _, offset, size in wanted if size]
        if any(size > _MAX_CHUNK_BYTES for _, size in ranges):
            raise CorruptFileError(self.url, "has a block of more than 512 MiB")
        contents = read_ranges(self.url, ranges, halted=halted)
        if remote_stamp(self.url) != self.stamp:
            raise SourceError(
                self.url, "has changed since the source looked at it; make the source anew"
            )
        return FetchedArea(self, area, dict(zip(stored, contents, strict=True)))


class FetchedArea(NamedTuple):
    """Chunks of an area of a remote raster; those that are not stored are left out.

    ``contents`` is by image (0, the mask 1) and the position of the chunk in it.
    """

    raster: RemoteRaster
    area: Area
    contents: dict[tuple[int, int], bytes]

    @contextmanager
    def opened(self, bands: np.ndarray, masked: bool) -> Iterator[Any]:
        """Dataset in which some bands of the area can be read, and nothing else.

        Errors of reading name the remote file.
        """
        url = self.raster.url
        chunks = []
        for image, positions in self.raster.chunks(self.area, bands, masked):
            sizes = self.raster.directory.images[image].size.ravel()[positions]
            contents = [
                self.contents[image, position] if size else b""
                for position, size in zip(positions.tolist(), sizes.tolist(), strict=True)
            ]
            chunks.append((image, positions, contents))
        with open_in_memory(url, self.raster.directory.with_chunks(chunks)) as dataset:
            try:
                yield dataset
            except CorruptFileError as error:
                raise CorruptFileError(url, error.reason) from error


def _header_reader(url: str, head: bytes, stamp: RemoteStamp) -> Any:
    """Reader of what a header holds, from the first bytes or in larger steps from elsewhere."""
    steps: dict[int, bytes] = {}

    def read(ranges: list[tuple[int, int]]) -> list[bytes]:
        for offset, length in ranges:
            if offset < 0 or offset + length > stamp.size:
                raise CorruptFileError(
                    url,
                    f"is truncated or damaged: its header leads to byte {offset + length} of "
                    f"{stamp.size}",
                )
        missing = {
            step
            for offset, length in ranges
            if offset + length > len(head)
            for step in range(offset // _STEP_BYTES, (offset + length - 1) // _STEP_BYTES + 1)
        }
        new = sorted(missing - set(steps))
        places = [
            (step * _STEP_BYTES, min(_STEP_BYTES, stamp.size - step * _STEP_BYTES)) for step in new
        ]
        steps.update(zip(new, read_ranges(url, places), strict=True) if new else ())
        return [_cut(head, steps, offset, length) for offset, length in ranges]

    return read


def _cut(head: bytes, steps: dict[int, bytes], offset: int, length: int) -> bytes:
    if offset + length <= len(head):
        return head[offset : offset + length]
    first, last = offset // _STEP_BYTES, (offset + length - 1) // _STEP_BYTES
    joined = b"".join(steps[step] for step in range(first, last + 1))
    start = offset - first * _STEP_BYTES
    return joined[start : start + length]


_rasters: OrderedDict[tuple[int, str], RemoteRaster] = OrderedDict()
_lock = threading.Lock()


def remote_raster(url: str) -> RemoteRaster:
    """Header of a remote GeoTIFF, kept for the last files used while they stay as they are."""
    if url.partition("?")[0].lower().endswith(".vrt"):
        raise SourceError(url, "is a .vrt, which is read from this computer's disks only")
    key = os.getpid(), url
    stamp = remote_stamp(url) if key in _rasters else None
    with _lock:
        kept = _rasters.get(key)
        if kept is not None and kept.stamp == stamp:
            _rasters.move_to_end(key)
            return kept
    raster = RemoteRaster(url)
    with _lock:
        _rasters[key] = raster
        total = sum(len(kept.directory.header()) for kept in _rasters.values())
        while len(_rasters) > _KEPT_FILES or (total > _KEPT_BYTES and len(_rasters) > 1):
            _, oldest = _rasters.popitem(last=False)
            total -= len(oldest.directory.header())
    return raster


def open_in_memory(url: str, content: bytes) -> Any:
    """Open a TIFF that stands in for a remote one."""
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
            return rasterio.open(io.BytesIO(content), driver="GTiff", sharing=False)
    except RasterioError as error:
        raise CorruptFileError(url, f"cannot be opened as GTiff: {error}") from error
