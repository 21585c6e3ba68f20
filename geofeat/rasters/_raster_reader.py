"""Pixels of GeoTIFF files, every touched block decoded once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from geofeat.exceptions import CorruptFileError, LimitError, SourceError
from geofeat.rasters._addresses import shown
from geofeat.rasters._area_fetcher import AreaFetcher, Place
from geofeat.rasters._blocks import BlockLayout, BlockWindow, WindowedCandidates
from geofeat.rasters._candidates import Candidates
from geofeat.rasters._decoding import ZERO_VECTORS, BandDecoder, band_decoder, stored_bands
from geofeat.rasters._header import RasterHeader, file_stamp, open_raster
from geofeat.rasters._remote import is_remote
from geofeat.rasters._remote_raster import Area, FetchedArea, remote_raster
from geofeat.rasters._sink import PixelSink

# GDAL keeps decoded blocks of an open file in a cache of the process; reopening frees them.
_BYTES_BEFORE_REOPENING = 2**26
# Planes read by one call: a call costs rasterio some milliseconds in files of many bands.
_PLANES_BYTES = 2**24
_POINTS_AT_ONCE = 2**16


class RasterReader(WindowedCandidates):
    """Reads the candidates of one call from GeoTIFF files; used as a context.

    Threads may read at the same time: each has one open dataset, closed when it turns to another
    file and at the end of the context.

    Parameters
    ----------
    found : Candidates
        Their ``files`` are `RasterHeader`.
    bands : int64 array of shape (bands,)
        Positions of the bands to read.
    rule : str
        One of `geofeat.rasters._decoding.RULES`.
    max_block_bytes : int
        Largest block that may be decoded.
    nodata : float or "zeros", default=None
        What stands for nothing instead of the files' own nodata; "zeros": a vector of zeros.
    limit : float
        Pixels with a larger magnitude in any band are missing; infinity switches the test off.

    Attributes
    ----------
    beyond_limit : list of (str, int)
        Files with values beyond the limit, and in how many pixels.
    """

    def __init__(
        self,
        found: Candidates,
        bands: np.ndarray,
        rule: str,
        max_block_bytes: int,
        nodata: float | str | None = None,
        limit: float = np.inf,
    ):
        self._limit = limit
        self.beyond_limit: list[tuple[str, int]] = []
        self._asked = bands
        bands = stored_bands(rule, bands)
        self._nodata = nodata
        layouts = [_layout(header, bands.size, max_block_bytes) for header in found.files]
        super().__init__(found.file, found.row, found.col, layouts)
        self._headers: list[RasterHeader] = found.files
        self._bands = bands
        self._decoders: dict[int, BandDecoder] = {}
        self._rule = rule
        self._own = threading.local()
        self._open: set[Any] = set()
        self._lock = threading.Lock()
        self._fetcher = AreaFetcher(bands)

    def close(self) -> None:
        """Close the datasets of all threads."""
        self._fetcher.close()
        for dataset in self._open:
            dataset.close()
        self._open.clear()

    def windows(self, which: np.ndarray) -> list[BlockWindow]:
        """Windows that cover every block of the candidates once; remote ones are fetched ahead."""
        found = super().windows(which)
        remote = [window for window in found if is_remote(self._headers[window.file].path)]
        self._fetcher.expect([self._place(window) for window in remote])
        return found

    def stored_bytes(self, window: BlockWindow) -> int:
        """Bytes to read for a window: compressed where the file tells, decoded otherwise."""
        header = self._headers[window.file]
        if is_remote(header.path):
            _, area, masked = self._place(window)
            return remote_raster(header.path).stored_bytes(area, self._bands, masked)
        height, width = header.blocks
        dataset = self._dataset(window.file)
        planes = [int(b) + 1 for b in self._bands] if header.planar else [1]
        virtual = header.path.lower().endswith(".vrt")
        total = 0
        for i in range(window.row // height, -(-(window.row + window.height) // height)):
            for j in range(window.col // width, -(-(window.col + window.width) // width)):
                sizes = [
                    dataset.get_tag_item(f"BLOCK_SIZE_{j}_{i}", "TIFF", bidx=b) for b in planes
                ]
                if virtual:
                    total += self._layouts[window.file].block_bytes
                else:  # a block that a sparse file leaves out has no size
                    total += sum(int(size or 0) for size in sizes)
        return total

    def byte_tables(self) -> np.ndarray | None:
        """Values of the stored bytes, float32 of shape (bands, 256), if alike in all files.

        None as well where numbers are wider than bytes, or more than a byte tells what is missing.
        """
        decoders = [self._decoder(file) for file in range(len(self._headers))]
        if any(header.masked for header in self._headers) or not decoders:
            return None
        if not np.isinf(self._limit):
            return None
        first = decoders[0].tables
        for table, zeros in ((decoder.tables, decoder.zeros) for decoder in decoders):
            if first is None or table is None or zeros:
                return None
            if not np.array_equal(first, table, equal_nan=True):
                return None
        return first

    def read(self, window: BlockWindow, sink: PixelSink) -> None:
        """Decode a window's blocks and hand the pixels of its candidates over."""
        try:
            self._read(window, sink)
        except BaseException as error:
            self._fetcher.stop(error)
            raise

    def _read(self, window: BlockWindow, sink: PixelSink) -> None:
        header = self._headers[window.file]
        decoder = self._decoder(window.file)
        which = window.which
        offsets = (self._row[which] - window.row) * window.width + self._col[which] - window.col
        size = window.height * window.width
        whole = size * self._bands.size * np.dtype(header.dtype).itemsize <= _BYTES_BEFORE_REOPENING
        fetched = self._fetched(window)
        hidden = self._hidden(window, fetched, offsets)
        if header.planar and not (whole and which.size > size // 4):
            raw = self._gather_planes(window, fetched, offsets)
            self._hand_over(sink, which, raw, decoder, hidden)
            return
        planes = self._planes(window, fetched)
        for first in range(0, which.size, _POINTS_AT_ONCE):
            part = slice(first, first + _POINTS_AT_ONCE)
            raw = np.take(planes, offsets[part], axis=1)
            part_hidden = None if hidden is None else hidden[part]
            self._hand_over(sink, which[part], raw, decoder, part_hidden)

    @property
    def is_local(self) -> bool:
        """Whether all files lie on this machine."""
        return not any(is_remote(header.path) for header in self._headers)

    def read_planes(self, window: BlockWindow) -> np.ndarray:
        """Decode all pixels of a window of a local file; numbers as stored, (bands, pixels)."""
        return self._planes(window, None)

    def _planes(self, window: BlockWindow, fetched: FetchedArea | None) -> np.ndarray:
        with self._pixels(window, fetched, self._bands) as dataset:
            planes = read_block(dataset, self._bands + 1, window, None)
        return planes.reshape(self._bands.size, -1)

    def _gather_planes(
        self, window: BlockWindow, fetched: FetchedArea | None, offsets: np.ndarray
    ) -> np.ndarray:
        """Raw numbers of shape (bands, k), plane after plane through one small buffer."""
        dtype = np.dtype(self._headers[window.file].dtype)
        size = window.height * window.width
        step = max(1, min(self._bands.size, _PLANES_BYTES // (size * dtype.itemsize)))
        buffer = np.empty((step, window.height, window.width), dtype=dtype)
        raw = np.empty((self._bands.size, offsets.size), dtype=dtype)
        for first in range(0, self._bands.size, step):
            bands = self._bands[first : first + step]
            with self._pixels(window, fetched, bands) as dataset:
                planes = read_block(dataset, bands + 1, window, buffer[: bands.size])
            np.take(
                planes.reshape(bands.size, -1),
                offsets,
                axis=1,
                out=raw[first : first + bands.size],
                mode="clip",  # the mode that writes straight into `out`
            )
        return raw

    def _hidden(
        self, window: BlockWindow, fetched: FetchedArea | None, offsets: np.ndarray
    ) -> np.ndarray | None:
        """Pixels that the file's own mask band declares missing."""
        if not self._headers[window.file].masked:
            return None
        with self._pixels(window, fetched, self._bands[:0], masked=True) as dataset:
            mask = read_mask(dataset, window)
        hidden: np.ndarray = mask.reshape(-1)[offsets] == 0
        return hidden

    def _fetched(self, window: BlockWindow) -> FetchedArea | None:
        """Chunks of a window of a remote file; None for a local one, which needs none."""
        header = self._headers[window.file]
        if not is_remote(header.path):
            return None
        _refuse_changed(header)
        return self._fetcher.take(self._place(window))

    @contextmanager
    def _pixels(
        self,
        window: BlockWindow,
        fetched: FetchedArea | None,
        bands: np.ndarray,
        masked: bool = False,
    ) -> Iterator[Any]:
        """Give a dataset in which a window can be read: the file's, or one made of its chunks."""
        if fetched is not None:
            with fetched.opened(bands, masked) as dataset:
                yield dataset
            return
        yield self._dataset(window.file)
        itemsize = np.dtype(self._headers[window.file].dtype).itemsize
        self._count(window.height * window.width * bands.size * itemsize)

    def _place(self, window: BlockWindow) -> Place:
        """Say what a window is to its server: address, area, and whether with the mask."""
        header = self._headers[window.file]
        return Place(header.path, Area(*window[1:5]), header.masked)

    def _hand_over(
        self,
        sink: PixelSink,
        which: np.ndarray,
        raw: np.ndarray,
        decoder: BandDecoder,
        hidden: np.ndarray | None,
    ) -> None:
        plain = hidden is None and not decoder.zeros and np.isinf(self._limit)
        if decoder.tables is not None and plain:
            sink.put_bytes(which, raw.view(np.uint8), decoder.tables)
            return
        values = decoder.decode(raw)
        if hidden is not None:
            values[:, hidden] = np.nan
        if not np.isinf(self._limit):
            self._hide_beyond_limit(which, values)
        sink.put_values(which, values)

    def _hide_beyond_limit(self, which: np.ndarray, values: np.ndarray) -> None:
        """Make pixels missing whose magnitude in any band is too large, and note how many."""
        beyond = ((np.abs(values) > self._limit) & np.isfinite(values)).any(axis=0)
        if beyond.any():
            values[:, beyond] = np.nan
            hit = which[beyond]
            pixels = {*zip(self._row[hit].tolist(), self._col[hit].tolist(), strict=True)}
            file = self._headers[int(self._file[hit[0]])]
            with self._lock:
                self.beyond_limit.append((file.path, len(pixels)))

    def _decoder(self, file: int) -> BandDecoder:
        if file not in self._decoders:
            header = self._headers[file]
            zeros = self._nodata == ZERO_VECTORS
            nodata = header.nodata
            if self._nodata is not None and not zeros:
                nodata = (float(self._nodata),) * header.n_bands
            of_bands = (
                [numbers[b] for b in self._bands]
                for numbers in (nodata, header.scales, header.offsets)
            )
            self._decoders[file] = band_decoder(
                header.path, header.dtype, self._rule, *of_bands, asked=self._asked, zeros=zeros
            )
        return self._decoders[file]

    def _dataset(self, file: int) -> Any:
        """Give this thread's open dataset of a file, after closing the one it had."""
        own = self._own
        if getattr(own, "file", None) == file and own.decoded < _BYTES_BEFORE_REOPENING:
            return own.dataset
        if getattr(own, "file", None) is not None:
            with self._lock:
                self._open.discard(own.dataset)
            own.file = None
            own.dataset.close()
        header = self._headers[file]
        _refuse_changed(header)
        own.dataset = open_raster(header.path)
        with self._lock:
            self._open.add(own.dataset)
        own.file, own.decoded = file, 0
        return own.dataset

    def _count(self, decoded: int) -> None:
        self._own.decoded += decoded


def _refuse_changed(header: RasterHeader) -> None:
    if file_stamp(header.path) != header.stamp:
        raise SourceError(
            header.path, "has changed since the source looked at it; make the source anew"
        )


def read_block(
    dataset: Any, bands: np.ndarray, window: BlockWindow, out: np.ndarray | None
) -> np.ndarray:
    """Read one window of some bands (counted from 1), shape (bands, height, width)."""
    from rasterio.errors import RasterioError
    from rasterio.windows import Window

    area = Window(window.col, window.row, window.width, window.height)
    try:
        planes: np.ndarray = dataset.read(bands.tolist(), window=area, out=out)
    except RasterioError as error:
        raise CorruptFileError(
            dataset.name,
            f"cannot read rows {window.row} to {window.row + window.height - 1}, columns "
            f"{window.col} to {window.col + window.width - 1} of bands {bands[0]} to {bands[-1]}: "
            f"{error.__cause__ or error}",
        ) from error
    return planes


def read_mask(dataset: Any, window: BlockWindow) -> np.ndarray:
    """Read the dataset's own mask in a window, 0 where nothing is stored."""
    from rasterio.errors import RasterioError
    from rasterio.windows import Window

    area = Window(window.col, window.row, window.width, window.height)
    try:
        mask: np.ndarray = dataset.read_masks(1, window=area)
    except RasterioError as error:
        raise CorruptFileError(dataset.name, f"cannot read its mask: {error}") from error
    return mask


def read_mask_band(path: str) -> np.ndarray:
    """Read the first band of a small raster, such as a landmask."""
    from rasterio.errors import RasterioError

    with _opened_whole(path) as dataset:
        try:
            band: np.ndarray = dataset.read(1)
        except RasterioError as error:
            raise CorruptFileError(path, f"cannot be read: {error.__cause__ or error}") from error
    return band


def _opened_whole(path: str) -> Any:
    """Give a dataset whose first band can be read."""
    if not is_remote(path):
        return open_raster(path)
    raster, first = remote_raster(path), np.zeros(1, dtype=np.int64)
    whole = raster.fetch(Area(0, 0, *raster.directory.shape), first, masked=False)
    return whole.opened(first, masked=False)


def _layout(header: RasterHeader, n_bands: int, max_block_bytes: int) -> BlockLayout:
    """How a file is cut when some bands are read, after a check that a block may be decoded."""
    height, width = header.blocks
    pixel_bytes = np.dtype(header.dtype).itemsize * (1 if header.planar else header.n_bands)
    block_bytes = height * width * pixel_bytes
    if block_bytes > max_block_bytes:
        raise LimitError(
            f"{shown(header.path)}: a block of {height} x {width} pixels decodes to {block_bytes} "
            f"bytes, the bound is {max_block_bytes}. Raise it with max_block_bytes={block_bytes}, "
            "or rewrite the file with smaller tiles."
        )
    set_bytes = block_bytes * (n_bands if header.planar else 1)
    return BlockLayout(header.grid.height, header.grid.width, height, width, set_bytes)
