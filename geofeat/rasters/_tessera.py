"""TesseraSource: TESSERA tiles as NumPy files, read through memory maps or by ranges."""

from __future__ import annotations

import os
from types import TracebackType
from typing import NamedTuple

import numpy as np

from geofeat._tessera_grid import PIXEL_METRES, tessera_grid
from geofeat.exceptions import CorruptFileError, RasterMismatchError
from geofeat.rasters._areas import Areas, Claims, reasons_of, share_out
from geofeat.rasters._blocks import BlockLayout, BlockWindow, WindowedCandidates, rows_per_task
from geofeat.rasters._candidates import (
    NO_COVERAGE,
    NO_YEAR,
    OK,
    OUTSIDE,
    WATER,
    Candidates,
    reasons_before_search,
)
from geofeat.rasters._header import file_stamp, read_header
from geofeat.rasters._npy_map import check_unchanged, read_npy_header
from geofeat.rasters._projection import PixelGrid, containing_pixels, pixel_positions
from geofeat.rasters._raster_reader import read_mask_band
from geofeat.rasters._remote import is_remote
from geofeat.rasters._sink import PixelSink
from geofeat.rasters._source_state import ImmutableSource
from geofeat.rasters._tessera_cells import cells_of_polygons
from geofeat.rasters._tessera_folder import TesseraFolder
from geofeat.rasters._tessera_pixels import (
    RemotePixels,
    TesseraTile,
    TilePixels,
    at_once,
    plain_pixels,
)
from geofeat.rasters._tessera_site import GEOTESSERA, SOURCE_COOPERATIVE, TesseraSite

N_BANDS = 128
_REMOTE_BLOCK_BYTES = 2**24


class _TilesOfCells(NamedTuple):
    """What was found for n cells: positions in ``tiles`` and ``absent`` or -1, and why."""

    tile: np.ndarray
    verdict: np.ndarray
    absent_file: np.ndarray
    tiles: list[TesseraTile]
    absent: list[str]


class TesseraSource(ImmutableSource):
    """TESSERA embeddings [1]_, for `EmbeddingRasterSampler`.

    A tile covers 0.1 by 0.1 degrees with 10 m pixels in its UTM zone: int8 numbers (height, width,
    128) and float32 scales (height, width) or (height, width, 128), whose product is the
    embedding. Files are mapped, not loaded: a point costs the pages that hold its 132 bytes. Of
    remote files the ranges with these bytes travel, or, where many points lie in one tile, the
    whole tile once.

    Parameters
    ----------
    root : path-like, default=None
        Folder of the tiles: one that holds ``global_0.1_degree_representation`` or ``npy``, one of
        these, ``npy/<release>``, or any folder with ``<year>/grid_<lon>_<lat>/`` inside. Landmasks
        and registries found beside them are used, none is needed. Or the address (https, s3, gs)
        of such a folder, except the last kind, with a registry in its published place. None: the
        public one of release v1, ``TesseraSource.geotessera``.
    release : str, default=None
        Which of several releases below ``root`` to read, or the name of the only one where its
        folder does not tell; an address of ``npy`` needs it. Features of different releases have
        nothing in common and never meet in one source.
    max_abs : float, default=None
        Pixels with a larger magnitude in any band are missing, with a warning that names the
        tile. 1e3 catches tiles with corrupt scales; None switches the test off.
    edge_tolerance : float, default=0.0
        Points beyond a tile's last row or column by up to this many pixels take the outermost
        pixel. Tile sizes are rounded, so up to 0.5 pixels of a cell can lie beyond its raster.
    allow_unverified : bool, default=False
        Whether remote tiles may be fetched whole where the registry keeps no hashes. Without it
        such tiles are read by ranges only.

    Attributes
    ----------
    band_names : tuple of str
        ``tessera_000`` to ``tessera_127``.
    years : tuple of int
        Years with a folder, or in the registry of a remote tree.
    geotessera, source_cooperative : str
        Public addresses: the tree of release v1, and ``npy`` with several releases, which takes
        ``release=``.
    found_release : str or None
        Release that is read: the name of the dataset's folder, v1 in the tree that is called
        ``global_0.1_degree_representation``, the only one listed by a manifest beside other
        folders; None when nothing tells. To be kept with a model fitted on the features.

    References
    ----------
    .. [1] Z. Feng et al., "TESSERA: Temporal embeddings of surface spectra for Earth
       representation and analysis", arXiv:2506.20380, 2025.

    Examples
    --------
    >>> from geofeat import TesseraSource
    >>> TesseraSource("tiles", max_abs=1e3)
    TesseraSource('tiles', max_abs=1000.0)
    """

    geotessera = GEOTESSERA
    source_cooperative = SOURCE_COOPERATIVE
    overlap = "first"

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        release: str | None = None,
        max_abs: float | None = None,
        edge_tolerance: float = 0.0,
        allow_unverified: bool = False,
    ):
        if max_abs is not None and not max_abs > 0:
            raise ValueError(f"max_abs must be above 0, got {max_abs}")
        if not edge_tolerance >= 0:
            raise ValueError(f"edge_tolerance must be 0 or more pixels, got {edge_tolerance}")
        self.root = root
        self.release = release
        self.max_abs = max_abs
        self.edge_tolerance = edge_tolerance
        self.allow_unverified = allow_unverified
        self._found: TesseraFolder | TesseraSite | None = None
        self._landmasks: dict[str, tuple[tuple[int, int], PixelGrid]] = {}

    @property
    def band_names(self) -> tuple[str, ...]:
        """``tessera_000`` to ``tessera_127``."""
        return tuple(f"tessera_{band:03d}" for band in range(N_BANDS))

    @property
    def years(self) -> tuple[int, ...]:
        """Years with a folder or in the registry, ascending."""
        return self._folder().years

    @property
    def found_release(self) -> str | None:
        """Release that is read, such as ``v1`` or ``v1.1-cam``; None when nothing tells it."""
        return self._folder().release

    def locate(self, lon: np.ndarray, lat: np.ndarray, year: np.ndarray) -> Candidates:
        """Pixels that serve points, one at most; see `Candidates`."""
        reason = reasons_before_search(lon, lat)
        good = np.flatnonzero(reason == NO_COVERAGE)
        # The same arithmetic as the producer's, so that a point on an edge gets the same tile.
        lon_cell = np.floor(lon[good] * 10).astype(np.int64)
        lat_cell = np.floor(lat[good] * 10).astype(np.int64)
        found = self._tiles_of(lon_cell, lat_cell, year[good])
        code, tiles, absent = found.tile, found.tiles, found.absent
        reason[good] = found.verdict
        absent_file = np.full(lon.size, -1)
        absent_file[good] = found.absent_file
        served = code >= 0
        point, file = good[served], code[served]
        grids = [tile.grid for tile in tiles]
        position = pixel_positions(lon[point], lat[point], file, grids)
        width = np.array([grid.width for grid in grids], dtype=np.int64)[file]
        height = np.array([grid.height for grid in grids], dtype=np.int64)[file]
        col, row, inside = containing_pixels(*position, width, height, self.edge_tolerance)
        reason[point[~inside]] = OUTSIDE
        return Candidates(
            point[inside],
            file[inside],
            row[inside],
            col[inside],
            reason,
            tiles,
            absent,
            absent_file,
        )

    def areas(self, polygons: np.ndarray, year: np.ndarray) -> Areas:
        """Parts of polygons in degrees that lie in each tile's cell; see `Areas`."""
        reason = reasons_of(polygons)
        polygon, lon_cell, lat_cell, part = cells_of_polygons(polygons)
        cells = self._tiles_of(lon_cell, lat_cell, year[polygon])
        file, absent = cells.tile, cells.absent
        reason[polygon[cells.verdict == NO_YEAR]] = NO_YEAR
        absent_file = np.full(polygons.size, -1)
        lost = cells.absent_file >= 0
        absent_file[polygon[lost]] = cells.absent_file[lost]
        kept = file >= 0
        claims = Claims(polygon[kept], file[kept], part[kept])
        found = share_out(polygons, claims, cells.tiles, reason, declared=True, exclusive=False)
        served = np.isin(np.arange(polygons.size), found.polygon)
        return found._replace(absent=absent, absent_file=np.where(served, -1, absent_file))

    def reader(self, found: Candidates, bands: np.ndarray) -> _TileReader:
        """Reader of the bands at the given positions."""
        folder = self._folder()
        site = folder if isinstance(folder, TesseraSite) else None
        limit = np.inf if self.max_abs is None else float(self.max_abs)
        return _TileReader(found, bands, limit, site)

    def _folder(self) -> TesseraFolder | TesseraSite:
        if self._found is None:
            root = GEOTESSERA if self.root is None else os.fspath(self.root)
            self._found = (
                TesseraSite(root, self.release, allow_unverified=self.allow_unverified)
                if is_remote(root)
                else TesseraFolder(root, self.release)
            )
        return self._found

    def _tiles_of(
        self, lon_cell: np.ndarray, lat_cell: np.ndarray, year: np.ndarray
    ) -> _TilesOfCells:
        """Tiles of cells in years, each looked up once."""
        keys, cell_of = _cells(lon_cell, lat_cell, year)
        tile, absent_file = np.full(cell_of.size, -1), np.full(cell_of.size, -1)
        verdict = np.full(cell_of.size, NO_COVERAGE, dtype=np.uint8)
        tiles: list[TesseraTile] = []
        absent: list[str] = []
        found = zip(_members(cell_of, len(keys)), self._look_up(keys), strict=True)
        for rows, (record, reason) in found:
            verdict[rows] = reason
            if isinstance(record, TesseraTile):
                tile[rows] = len(tiles)
                tiles.append(record)
            elif record is not None:
                absent_file[rows] = len(absent)
                absent.append(record)
        return _TilesOfCells(tile, verdict, absent_file, tiles, absent)

    def _look_up(
        self, cells: list[tuple[int, int, int]]
    ) -> list[tuple[TesseraTile | str | None, int]]:
        """Tile of each (lon cell, lat cell, year) with `OK`, or what `TesseraFolder.find` says."""
        folder = self._folder()

        def look_up(cell: tuple[int, int, int]) -> tuple[TesseraTile | str | None, int]:
            absent, verdict = folder.find(*cell)
            return (self._open_tile(*cell), OK) if verdict == OK else (absent, verdict)

        if isinstance(folder, TesseraSite):
            return at_once(look_up, cells)
        return [look_up(cell) for cell in cells]

    def _landmask_grid(self, path: str, lon_cell: int, lat_cell: int) -> PixelGrid:
        """Grid that a landmask tells, within half a pixel of the cell's; cached while it stays."""
        stamp, grid = self._landmasks.get(path, (None, None))
        if grid is None or stamp != file_stamp(path):
            header = read_header(path)
            grid = header.grid
            epsg, expected = _computed_grid(lon_cell, lat_cell)
            shift = _largest_shift(grid, expected)
            if header.epsg != epsg or not shift <= 0.5 * PIXEL_METRES:
                raise CorruptFileError(
                    path,
                    f"is a landmask in EPSG:{header.epsg} with transform {grid.transform}, its "
                    f"name stands for EPSG:{epsg} and {expected.transform}",
                )
            self._landmasks[path] = header.stamp, grid
        return grid

    def _open_tile(self, lon_cell: int, lat_cell: int, year: int) -> TesseraTile:
        folder = self._folder()
        stored_path, scales_path = folder.tile_paths(lon_cell, lat_cell, year)
        stored = read_npy_header(stored_path, np.dtype(np.int8), (3,))
        scales = read_npy_header(scales_path, np.dtype("<f4"), (2, 3))
        if stored.shape[2] != N_BANDS:
            raise RasterMismatchError(
                stored.path, f"has {stored.shape[2]} bands, a TESSERA tile has {N_BANDS}"
            )
        if scales.shape not in (stored.shape[:2], stored.shape):
            raise CorruptFileError(
                scales.path, f"has shape {scales.shape}, the tile has {stored.shape}"
            )
        landmask = folder.landmask_path(lon_cell, lat_cell)
        if landmask is not None:
            grid, origin = self._landmask_grid(landmask, lon_cell, lat_cell), landmask
        else:
            grid, origin = _computed_grid(lon_cell, lat_cell)[1], "the tile's cell"
        if (grid.height, grid.width) != stored.shape[:2]:
            raise CorruptFileError(
                stored.path,
                f"has {stored.shape[0]} x {stored.shape[1]} pixels, {origin} has {grid.height} x "
                f"{grid.width}",
            )
        cell = lon_cell, lat_cell
        return TesseraTile(stored_path, cell, year, stored, scales, landmask, grid)


def _computed_grid(lon_cell: int, lat_cell: int) -> tuple[int, PixelGrid]:
    """EPSG code and grid that follow from a cell alone."""
    found = tessera_grid((10 * lon_cell + 5) / 100, (10 * lat_cell + 5) / 100)
    transform = tuple(found.transform)[:6]
    return found.epsg, PixelGrid(f"EPSG:{found.epsg}", transform, found.width, found.height)


def _largest_shift(grid: PixelGrid, expected: PixelGrid) -> float:
    """Metres by which the first or the last corner of a grid differs from where it should be."""
    differences = np.subtract(grid.transform, expected.transform).reshape(2, 3)
    corners = np.array([[0, 0, 1], [grid.width, grid.height, 1]])
    return float(np.abs(differences @ corners.T).max())


def _cells(
    lon_cell: np.ndarray, lat_cell: np.ndarray, year: np.ndarray
) -> tuple[list[tuple[int, int, int]], np.ndarray]:
    """Different (lon cell, lat cell, year) and, for every row, which of them it is."""
    # Longitude cells lie in [-1800, 1800), latitude cells in [-900, 900].
    keys = ((year + 1) * 4000 + lon_cell + 2000) * 2000 + lat_cell + 1000
    found, cell_of = np.unique(keys, return_inverse=True)
    lat_cells, rest = found % 2000 - 1000, found // 2000
    lon_cells, years = rest % 4000 - 2000, rest // 4000 - 1
    cells = zip(lon_cells.tolist(), lat_cells.tolist(), years.tolist(), strict=True)
    return list(cells), cell_of


def _members(cell_of: np.ndarray, n_cells: int) -> list[np.ndarray]:
    """Rows of each cell."""
    counts = np.bincount(cell_of, minlength=n_cells)
    return np.split(np.argsort(cell_of, kind="stable"), np.cumsum(counts))[:n_cells]


class _TileReader(WindowedCandidates):
    """Reads the candidates of one call from mapped tiles; used as a context."""

    def __init__(
        self, found: Candidates, bands: np.ndarray, limit: float, site: TesseraSite | None
    ):
        self._tiles: list[TesseraTile] = found.files
        counts = np.bincount(found.file, minlength=len(self._tiles)).tolist()
        layouts = [
            BlockLayout(
                height=tile.grid.height,
                width=tile.grid.width,
                block_height=rows_per_task(tile.grid.height, count),
                block_width=tile.grid.width,
                block_bytes=tile.grid.height * tile.grid.width * N_BANDS,
            )
            for tile, count in zip(self._tiles, counts, strict=True)
        ]
        if site is not None:  # what a window brings is held in memory
            layouts = [_in_small_blocks(layout) for layout in layouts]
        super().__init__(found.file, found.row, found.col, layouts)
        self._bands = bands
        self._limit = limit
        self._remote: RemotePixels | None = None
        if site is not None:
            wanted = self._pixels_by_tile()
            self._remote = RemotePixels(site, self._tiles, self._different_pixels, wanted)
        self.beyond_limit: list[tuple[str, int]] = []

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._remote is not None:
            # Nobody waits for a server after Ctrl-C.
            self._remote.close(at_once=not isinstance(error, Exception | None))

    def windows(self, which: np.ndarray) -> list[BlockWindow]:
        """Windows as `WindowedCandidates` cuts them."""
        windows = super().windows(which)
        if self._remote is not None:
            self._remote.expect(windows)
        return windows

    def stored_bytes(self, window: BlockWindow) -> int:
        """Bytes of the pixels and scales of a window's points, each pixel once."""
        if self._remote is not None:
            return self._remote.n_bytes(window)
        pixels = self._different_pixels(window).size
        n_scales = self._bands.size if len(self._tiles[window.file].scales.shape) == 3 else 1
        return int(pixels * (self._bands.size + 4 * n_scales))

    def read(self, window: BlockWindow, sink: PixelSink) -> None:
        """Read the pixels of a window's candidates, from the first of the file on."""
        tile = self._tiles[window.file]
        arrays = (
            TilePixels(plain_pixels(tile.stored), plain_pixels(tile.scales), None)
            if self._remote is None
            else self._remote.read(window)
        )
        pixels = self._pixels(window, window.which)
        order = np.argsort(pixels, kind="stable")
        which, pixels = window.which[order], pixels[order]
        state = sink.put_scaled(
            which,
            arrays.stored,
            arrays.scales,
            arrays.positions(pixels),
            self._bands,
            self._limit,
        )
        check_unchanged(tile.stored)
        check_unchanged(tile.scales)
        beyond = np.unique(pixels[state == 2]).size
        if beyond:
            self.beyond_limit.append((tile.path, beyond))
        missing = np.flatnonzero(state == 1)
        if missing.size and tile.landmask is not None:
            land = read_mask_band(tile.landmask)
            sink.status[which[missing[land.reshape(-1)[pixels[missing]] == 0]]] = WATER

    def _pixels(self, window: BlockWindow, which: np.ndarray) -> np.ndarray:
        width = self._tiles[window.file].grid.width
        pixels: np.ndarray = self._row[which] * width + self._col[which]
        return pixels

    def _different_pixels(self, window: BlockWindow) -> np.ndarray:
        """Pixels of a window's candidates, ascending, each once."""
        pixels: np.ndarray = np.unique(self._pixels(window, window.which))
        return pixels

    def _pixels_by_tile(self) -> list[np.ndarray]:
        """Pixels of all candidates of each tile, ascending, each once."""
        widths = np.array([tile.grid.width for tile in self._tiles], dtype=np.int64)
        pixels = self._row * widths[self._file] + self._col
        order = np.lexsort((pixels, self._file))
        ends = np.cumsum(np.bincount(self._file, minlength=len(self._tiles)))[:-1]
        return [np.unique(part) for part in np.split(pixels[order], ends)]


def _in_small_blocks(layout: BlockLayout) -> BlockLayout:
    rows = max(1, min(layout.block_height, _REMOTE_BLOCK_BYTES // (layout.width * N_BANDS)))
    return layout._replace(block_height=rows, block_bytes=rows * layout.width * N_BANDS)
