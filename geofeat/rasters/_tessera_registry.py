"""What the registries of TESSERA tell: which cells have tiles, their sizes and their hashes."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from geofeat.exceptions import CorruptFileError
from geofeat.rasters._index_table import ROW_GROUP, IndexTable

_VERSION = ["version", "variant"]
_SUMS = ["hash", "scales_hash"]
_SIZES = ["file_size", "scales_size"]
# Names of the published datasets by version and variant of a manifest.
_DATASETS = {("1", "vultr"): "v1", ("1.1", "cambridge"): "v1.1-cam"}
_SHA256 = re.compile("[0-9a-fA-F]{64}")


class RegisteredCells(NamedTuple):
    """Cells that have a tile in one year.

    Attributes
    ----------
    keys : int64 array of shape (n,)
        Cells as numbers, ascending.
    groups : int64 array of shape (n,)
        Row group of a remote registry in which each stands; -1 for a local one.
    """

    keys: np.ndarray
    groups: np.ndarray

    @classmethod
    def none(cls) -> RegisteredCells:
        """No cells."""
        return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))

    def group_of(self, lon_cell: int, lat_cell: int) -> int | None:
        """Row group of a cell; None for one that is not registered."""
        key = _key(lon_cell, lat_cell)
        at = int(np.searchsorted(self.keys, key))
        found = at < self.keys.size and int(self.keys[at]) == key
        return int(self.groups[at]) if found else None

    def __contains__(self, cell: object) -> bool:
        return isinstance(cell, tuple) and self.group_of(*cell) is not None


class TileSums(NamedTuple):
    """SHA-256 sums and bytes of the two files of a tile; sizes are None where nothing tells."""

    sha256: tuple[str, str]
    sizes: tuple[int | None, int | None]


def grid_name(lon_cell: int, lat_cell: int) -> str:
    """Name of a tile after its centre: cell (1, 520) is ``grid_0.15_52.05``."""
    return f"grid_{(10 * lon_cell + 5) / 100:.2f}_{(10 * lat_cell + 5) / 100:.2f}"


def registered_cells(
    registry: IndexTable, year: int | None, release: str | None
) -> RegisteredCells:
    """Cells (in tenths of a degree) that a registry lists for one year and the release.

    A registry of landmasks knows no years, it is asked for None.
    """
    columns, told = _place_columns(registry), _release_columns(registry)
    table = registry.read(columns + told, year)
    cells, ours = _cells_of(registry, table, columns, release)
    groups = (
        np.asarray(table.column(ROW_GROUP), dtype=np.int64)[ours]
        if ROW_GROUP in table.column_names
        else np.full(int(ours.sum()), -1)
    )
    keys, first = np.unique(_key(*cells), return_index=True)
    return RegisteredCells(keys, groups[first])


def sum_columns(registry: IndexTable) -> list[str] | None:
    """Columns by which `tile_sums` finds the sums of a tile; None for a registry without any."""
    names = registry.schema.names
    if not set(_SUMS) <= set(names):
        return None
    sizes = [name for name in _SIZES if name in names]
    return [*_place_columns(registry), *_release_columns(registry), "year", *_SUMS, *sizes]


def tile_sums(
    registry: IndexTable, group: int, cell: tuple[int, int], year: int, release: str | None
) -> TileSums | None:
    """Find the sums of a tile in a row group; None for a registry that keeps none.

    Raises
    ------
    CorruptFileError
        A sum is lacking or no SHA-256, a size is none, or two rows of the tile differ.
    """
    asked = sum_columns(registry)
    if asked is None:
        return None
    table = registry.read_group(group, asked)
    columns = _place_columns(registry)
    kept = [name for name in (*_SUMS, *_SIZES) if name in asked]
    cells, ours = _cells_of(registry, table, columns, release)
    years = np.asarray(table.column("year"))[ours]
    rows = np.flatnonzero(ours)[(_key(*cells) == _key(*cell)) & (years == year)]
    found = table.select(kept).take(rows).to_pylist()
    name = f"tile {grid_name(*cell)} of {year}"
    if not found or any(row != found[0] for row in found):
        raise CorruptFileError(registry.path, f"lists {name} with different hashes or sizes")
    sums = tuple(found[0][column] for column in _SUMS)
    if not all(isinstance(value, str) and _SHA256.fullmatch(value) for value in sums):
        raise CorruptFileError(registry.path, f"has no SHA-256 sums of {name} but {sums}")
    told = [found[0].get(column) for column in _SIZES]
    if any(size is not None and not size > 0 for size in told):
        raise CorruptFileError(registry.path, f"says that {name} has {told} bytes")
    stored, scales = (None if size is None else int(size) for size in told)
    return TileSums((sums[0], sums[1]), (stored, scales))


def listed_releases(registry: IndexTable) -> set[str]:
    """Names of the datasets that a manifest lists."""
    if not _release_columns(registry):
        return set()
    rows = registry.read(_VERSION).group_by(_VERSION).aggregate([]).to_pylist()
    return {_dataset_name(row["version"], row["variant"]) for row in rows}


def listed_years(registry: IndexTable) -> tuple[int, ...]:
    """Years that a registry lists, ascending."""
    years = registry.read(["year"]).column("year").unique().to_pylist()
    if not all(isinstance(year, int) for year in years):
        raise CorruptFileError(registry.path, "has rows without a year")
    return tuple(sorted(years))


def _place_columns(registry: IndexTable) -> list[str]:
    names = set(registry.schema.names)
    for columns in (["lon_i", "lat_i"], ["lon", "lat"]):
        if names >= set(columns):
            return columns
    raise CorruptFileError(registry.path, f"is no registry of TESSERA: it has {sorted(names)}")


def _release_columns(registry: IndexTable) -> list[str]:
    return _VERSION if set(_VERSION) <= set(registry.schema.names) else []


def _cells_of(
    registry: IndexTable, table: Any, columns: list[str], release: str | None
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Cells of the rows of a release, longitude and latitude, and which rows those are."""
    # Centres in hundredths of a degree, 5 beyond the cell's first edge.
    hundredths = 1 if columns[0] == "lon_i" else 100
    lon, lat = (np.asarray(table.column(name), dtype=np.float64) * hundredths for name in columns)
    if not ((np.abs(lon) <= 18_000) & (np.abs(lat) <= 9_000)).all():
        raise CorruptFileError(registry.path, "lists tiles without a place on Earth")
    ours = np.ones(table.num_rows, dtype=bool)
    if set(_VERSION) <= set(table.column_names):
        version, variant = (
            table.column(name).combine_chunks().dictionary_encode() for name in _VERSION
        )
        names = variant.dictionary.to_pylist()
        for i, number in enumerate(version.dictionary.to_pylist()):
            right = [j for j, name in enumerate(names) if _dataset_name(number, name) == release]
            wrong = (np.asarray(version.indices) == i) & ~np.isin(variant.indices, right)
            ours &= ~wrong
    lon_cell, lat_cell = (
        (np.rint(centre[ours]).astype(np.int64) - 5) // 10 for centre in (lon, lat)
    )
    return (lon_cell, lat_cell), ours


def _key(lon_cell: Any, lat_cell: Any) -> Any:
    """Make a number of each cell; longitudes lie in [-1800, 1800), latitudes in [-900, 900]."""
    return (lon_cell + 2000) * 2000 + lat_cell + 1000


def _dataset_name(version: object, variant: object) -> str:
    """Name under which a version and variant are published: 1.1 and cambridge are v1.1-cam."""
    number = str(version).removesuffix(".0")
    return _DATASETS.get((number, str(variant)), f"v{number}-{variant}")
