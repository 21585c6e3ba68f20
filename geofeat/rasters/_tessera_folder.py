"""Where TESSERA tiles and landmasks lie below a folder, in each layout in use."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from geofeat.exceptions import RasterMismatchError, SourceError
from geofeat.rasters._candidates import NO_COVERAGE, NO_YEAR, OK
from geofeat.rasters._index_table import IndexTable
from geofeat.rasters._tessera_registry import (
    RegisteredCells,
    grid_name,
    listed_releases,
    registered_cells,
)

TILES = "global_0.1_degree_representation"
LANDMASKS = "global_0.1_degree_tiff_all"
_YEAR = re.compile(r"(?:19|20)\d\d")
_REGISTRIES = ("registry.parquet", "manifest.parquet")
# Key of a folder that says nothing of its release.
_UNNAMED = ""


class TesseraFolder:
    """Tiles of one release below one folder.

    Parameters
    ----------
    root : str
        The folder given by the user; any level of the published trees.
    release : str or None
        Which release to read where the folder holds several, or what a folder is that does not
        tell it.
    """

    def __init__(self, root: str, release: str | None):
        if not Path(root).is_dir():
            raise FileNotFoundError(f"{root} is not a folder")
        found = _releases(Path(root))
        if not found:
            raise SourceError(
                root, f"holds no TESSERA tiles: expected {TILES}/<year>/grid_<lon>_<lat>/ or npy/"
            )
        if release is None and len(found) > 1:
            raise RasterMismatchError(
                root,
                f"holds the releases {', '.join(sorted(found))}, whose features have different "
                "meanings and cannot be mixed; choose one with release=",
            )
        named = found if _UNNAMED not in found else {release or _UNNAMED: found[_UNNAMED]}
        name = next(iter(named)) if release is None else release
        if name not in named:
            raise SourceError(root, f"has no release {name!r}, only {', '.join(sorted(named))}")
        self.root = Path(root)
        self.tiles = named[name]
        self._name = name

    @cached_property
    def release(self) -> str | None:
        """Dataset name after the folder, else the only one in registries beside it, else None."""
        if self._name != _UNNAMED:
            return self._name
        listed = set().union(*map(listed_releases, self._registries))
        return listed.pop() if len(listed) == 1 else None

    @cached_property
    def years(self) -> tuple[int, ...]:
        """Years with a folder."""
        return tuple(sorted(int(p.name) for p in self.tiles.iterdir() if _is_year(p)))

    @cached_property
    def landmasks(self) -> Path | None:
        """Folder of the landmasks, None where there is none."""
        beside = self.tiles.parent / LANDMASKS
        if beside.is_dir():
            return beside
        versions = self.tiles.parent.parent / "landmasks"
        if not versions.is_dir():
            return None
        release = self.release or ""
        matching = [
            folder
            for folder in versions.iterdir()
            if folder.is_dir() and re.match(re.escape(folder.name) + r"(?:[-.]|$)", release)
        ]
        if matching:  # v1.1 rather than v1 for v1.1-cam; v1 is no part of v10
            return max(matching, key=lambda folder: len(folder.name))
        return versions if any(versions.glob("grid_*.tif*")) else None

    def tile_paths(self, lon_cell: int, lat_cell: int, year: int) -> tuple[str, str]:
        """Paths of the stored numbers and the scales of the cell (in tenths of a degree)."""
        name = grid_name(lon_cell, lat_cell)
        folder = self.tiles / str(year) / name
        return str(folder / f"{name}.npy"), str(folder / f"{name}_scales.npy")

    def landmask_path(self, lon_cell: int, lat_cell: int) -> str | None:
        """Path of the cell's landmask where it exists."""
        if self.landmasks is None:
            return None
        path = self.landmasks / f"{grid_name(lon_cell, lat_cell)}.tiff"
        return str(path) if path.is_file() else None

    def find(self, lon_cell: int, lat_cell: int, year: int) -> tuple[str | None, int]:
        """Whether a tile is there (`OK`); else the file that should be, if any, and the reason."""
        stored, scales = (Path(path) for path in self.tile_paths(lon_cell, lat_cell, year))
        if stored.is_file() and scales.is_file():
            return None, OK
        if stored.is_file() != scales.is_file():  # half of a tile
            return str(scales if stored.is_file() else stored), NO_COVERAGE
        if (lon_cell, lat_cell) in self.registered(year):
            return str(stored), NO_COVERAGE
        for other in self.years:
            if Path(self.tile_paths(lon_cell, lat_cell, other)[0]).is_file():
                return None, NO_YEAR
        return None, NO_COVERAGE

    def registered(self, year: int) -> RegisteredCells:
        """Cells that a registry beside the tiles lists for a year; none without a registry."""
        if year not in self._registered:
            self._registered[year] = (
                registered_cells(self._registries[0], year, self.release)
                if self._registries
                else RegisteredCells.none()
            )
        return self._registered[year]

    @cached_property
    def _registered(self) -> dict[int, RegisteredCells]:
        return {}

    @cached_property
    def _registries(self) -> list[IndexTable]:
        """Registries beside the tiles, the nearest first."""
        folders = [self.tiles, self.tiles.parent, self.tiles.parent.parent, self.root]
        paths = (folder / name for folder in dict.fromkeys(folders) for name in _REGISTRIES)
        return [IndexTable(str(path)) for path in paths if path.is_file()]


def looks_like_tessera(root: str) -> bool:
    """Whether a folder is the root of TESSERA tiles in one of the layouts."""
    return bool(_releases(Path(root)))


def _is_year(folder: Path) -> bool:
    return bool(_YEAR.fullmatch(folder.name)) and folder.is_dir()


def _holds_tiles(folder: Path) -> bool:
    """Whether a folder has the form <year>/grid_<lon>_<lat>/."""
    return folder.is_dir() and any(
        _is_year(year) and any(year.glob("grid_*_*/grid_*_*.npy")) for year in folder.iterdir()
    )


def _releases(root: Path) -> dict[str, Path]:
    """Folder of the years of each release found below a root."""
    if root.name == TILES and root.is_dir():
        return {"v1": root}
    if _holds_tiles(root):
        return {root.name if root.parent.name == "npy" else _UNNAMED: root}
    found = {}
    for tiles in (root / TILES, root / "v1" / TILES):
        if tiles.is_dir():
            found["v1"] = tiles
            break
    datasets = root if root.name == "npy" else root / "npy"
    if datasets.is_dir():
        for dataset in sorted(datasets.iterdir()):
            if _holds_tiles(dataset):
                if dataset.name in found:
                    raise RasterMismatchError(
                        root,
                        f"holds release {dataset.name} twice: {found[dataset.name]}, {dataset}",
                    )
                found[dataset.name] = dataset
    return found
