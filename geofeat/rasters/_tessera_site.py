"""Where TESSERA tiles and landmasks lie below an address, after what its registry lists."""

from __future__ import annotations

import re
import threading
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from geofeat.exceptions import DownloadError, SourceError
from geofeat.rasters._candidates import NO_COVERAGE, NO_YEAR, OK
from geofeat.rasters._header import file_exists
from geofeat.rasters._index_table import IndexTable
from geofeat.rasters._remote import fetch_file, join_url, remote_stamp
from geofeat.rasters._tessera_folder import LANDMASKS, TILES
from geofeat.rasters._tessera_registry import (
    RegisteredCells,
    TileSums,
    grid_name,
    listed_releases,
    listed_years,
    registered_cells,
    sum_columns,
    tile_sums,
)

GEOTESSERA = "https://dl2.geotessera.org/v1"
SOURCE_COOPERATIVE = "https://data.source.coop/tessera/tessera/npy"
_DATASETS = "v1, v1.1-cam, v2-2B-L~beta1"
_NUMBER = re.compile(r"v\d+(?:\.\d+)*")


class Verification(NamedTuple):
    """Row group of the registry that holds the hashes of a tile, and bytes to be read for it."""

    group: int
    n_bytes: int


class TesseraSite:
    """Tiles of one release below one address: the remote sibling of `TesseraFolder`.

    Parameters
    ----------
    root : str
        Address of a tree that holds ``global_0.1_degree_representation`` and a registry, of that
        folder itself, of ``npy``, or of one of the datasets below it.
    release : str or None
        Name of the dataset below ``npy``; elsewhere the address tells it.
    allow_unverified : bool
        Whether whole tiles are taken from sites whose registry keeps no hashes.
    """

    def __init__(self, root: str, release: str | None, *, allow_unverified: bool = False):
        self.root = root.rstrip("/")
        self._allow_unverified = allow_unverified
        self._lock = threading.Lock()
        self._registered: dict[int | str, RegisteredCells] = {}
        above, _, name = self.root.rpartition("/")
        registries = ["registry.parquet", "manifest.parquet"]
        if name == "npy":
            if release is None:
                raise SourceError(
                    root,
                    "holds several releases, whose features have different meanings; choose one "
                    f"with release=, such as {_DATASETS}",
                )
            self.root, self.release = join_url(self.root, release), release
            name = release
        elif above.endswith("/npy"):
            self.release, above = name, above.removesuffix("/npy")
        else:
            above = above if name == TILES else self.root
            folder = above.rpartition("/")[2]
            self.release = folder if _NUMBER.fullmatch(folder) else "v1"
        if release is not None and release != self.release:
            raise SourceError(root, f"has no release {release!r}, only {self.release}")
        self._is_tree = not self.root.endswith(f"/npy/{name}")
        if self._is_tree:
            self.tiles, self._base = f"{above}/{TILES}", above
            self._registry_names = registries
        else:
            self.tiles, self._base = self.root, above
            self._registry_names = registries[::-1]

    @property
    def years(self) -> tuple[int, ...]:
        """Years that the registry lists."""
        with self._lock:
            return self._years

    @cached_property
    def _years(self) -> tuple[int, ...]:
        return listed_years(self.registry)

    @cached_property
    def registry(self) -> IndexTable:
        """The registry beside the tiles."""
        folder = self._base if self._is_tree else self.tiles
        for name in self._registry_names:
            table = IndexTable(join_url(folder, name))
            try:
                _ = table.schema
            except FileNotFoundError:
                continue
            return table
        raise SourceError(
            self.root,
            f"has no {' or '.join(self._registry_names)}: give the address of a tree of TESSERA "
            f"tiles such as {GEOTESSERA}, or {SOURCE_COOPERATIVE} with release=",
        )

    def registered(self, year: int) -> RegisteredCells:
        """Cells that the registry lists for a year."""
        with self._lock:
            if year not in self._registered:
                found = registered_cells(self.registry, year, self.release)
                if not found.keys.size:
                    listed = listed_releases(self.registry)
                    if listed and self.release not in listed:
                        raise SourceError(
                            self.root,
                            f"is named as release {self.release}, its registry lists "
                            f"{', '.join(sorted(listed))}",
                        )
                self._registered[year] = found
            return self._registered[year]

    def tile_paths(self, lon_cell: int, lat_cell: int, year: int) -> tuple[str, str]:
        """Addresses of the stored numbers and the scales of the cell (in tenths of a degree)."""
        name = grid_name(lon_cell, lat_cell)
        stored = f"{year}/{name}/{name}"
        return join_url(self.tiles, f"{stored}.npy"), join_url(self.tiles, f"{stored}_scales.npy")

    def find(self, lon_cell: int, lat_cell: int, year: int) -> tuple[str | None, int]:
        """Whether a tile is there (`OK`); else the file that should be, if any, and the reason."""
        if (lon_cell, lat_cell) not in self.registered(year):
            elsewhere = any(
                (lon_cell, lat_cell) in self.registered(other)
                for other in self.years
                if other != year
            )
            return None, NO_YEAR if elsewhere else NO_COVERAGE
        for path in self.tile_paths(lon_cell, lat_cell, year):
            try:
                remote_stamp(path)
            except FileNotFoundError:
                return path, NO_COVERAGE
        return None, OK

    def landmask_path(self, lon_cell: int, lat_cell: int) -> str | None:
        """Address of the cell's landmask where there is one."""
        name = f"{grid_name(lon_cell, lat_cell)}.tiff"
        for folder in self._landmask_folders():
            if (lon_cell, lat_cell) not in self._landmasks_in(folder):
                continue
            path = join_url(folder, name)
            if file_exists(path):
                return path
        return None

    def verification(self, lon_cell: int, lat_cell: int, year: int) -> Verification | None:
        """Say what it takes to verify a whole tile; None where that must and cannot be done."""
        group = self._group(lon_cell, lat_cell, year)
        try:
            columns = sum_columns(self.registry)
            if columns is not None:
                return Verification(group, self.registry.unread_bytes(group, columns))
        except DownloadError:
            return None
        return Verification(-1, 0) if self._allow_unverified else None

    def whole_tile(self, lon_cell: int, lat_cell: int, year: int) -> tuple[Path, Path]:
        """Both files of a tile in the cache folder, fetched and verified by the registry's sums."""
        urls = self.tile_paths(lon_cell, lat_cell, year)
        sums = self._sums(lon_cell, lat_cell, year)
        if sums is None:
            allowed = self._allow_unverified
            stored, scales = (fetch_file(url, allow_unverified=allowed) for url in urls)
            return stored, scales
        stored, scales = (
            fetch_file(url, size=size, sha256=sha256)
            for url, size, sha256 in zip(urls, sums.sizes, sums.sha256, strict=True)
        )
        return stored, scales

    def _sums(self, lon_cell: int, lat_cell: int, year: int) -> TileSums | None:
        group = self._group(lon_cell, lat_cell, year)
        with self._lock:
            return tile_sums(self.registry, group, (lon_cell, lat_cell), year, self.release)

    def _group(self, lon_cell: int, lat_cell: int, year: int) -> int:
        group = self.registered(year).group_of(lon_cell, lat_cell)
        assert group is not None
        return group

    def _landmask_folders(self) -> list[str]:
        """Where landmasks may lie: one place in a tree, by version elsewhere, the nearest first."""
        if self._is_tree:
            return [join_url(self._base, LANDMASKS)]
        match = _NUMBER.match(self.release)
        numbers = [] if match is None else match[0].split(".")
        versions = [".".join(numbers[:n]) for n in range(len(numbers), 0, -1)]
        return [join_url(self._base, f"landmasks/{version}") for version in versions]

    def _landmasks_in(self, folder: str) -> RegisteredCells:
        """Cells that the registry of landmasks lists; none without one."""
        with self._lock:
            if folder not in self._registered:
                place = self._base if self._is_tree else folder
                try:
                    table = IndexTable(join_url(place, "landmasks.parquet"))
                    found = registered_cells(table, None, None)
                except FileNotFoundError:
                    found = RegisteredCells.none()
                self._registered[folder] = found
            return self._registered[folder]
