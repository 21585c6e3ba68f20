"""Where TESSERA tiles and landmasks lie below a folder, in each layout in use."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

import numpy as np

from geofeat.exceptions import CorruptFileError, LimitError, RasterMismatchError, SourceError

_TILES = "global_0.1_degree_representation"
_LANDMASKS = "global_0.1_degree_tiff_all"
_YEAR = re.compile(r"(?:19|20)\d\d")
_REGISTRIES = ("registry.parquet", "manifest.parquet")
_MAX_ROWS = 50_000_000


class TesseraFolder:
    """Tiles of one release below one folder.

    Parameters
    ----------
    root : str
        The folder given by the user; any level of the published trees.
    release : str or None
        Which release to read where the folder holds several.
    """

    def __init__(self, root: str, release: str | None):
        if not Path(root).is_dir():
            raise FileNotFoundError(f"{root} is not a folder")
        found = _releases(Path(root))
        if not found:
            raise SourceError(
                root, f"holds no TESSERA tiles: expected {_TILES}/<year>/grid_<lon>_<lat>/ or npy/"
            )
        if release is None:
            if len(found) > 1:
                raise RasterMismatchError(
                    root,
                    f"holds the releases {', '.join(sorted(found))}, whose features have different "
                    "meanings and cannot be mixed; choose one with release=",
                )
            release = next(iter(found))
        if release not in found:
            raise SourceError(root, f"has no release {release!r}, only {', '.join(sorted(found))}")
        self.root = Path(root)
        self.release = release
        self.tiles = found[release]

    @cached_property
    def years(self) -> tuple[int, ...]:
        """Years with a folder."""
        return tuple(sorted(int(p.name) for p in self.tiles.iterdir() if _is_year(p)))

    @cached_property
    def landmasks(self) -> Path | None:
        """Folder of the landmasks, None where there is none."""
        beside = self.tiles.parent / _LANDMASKS
        if beside.is_dir():
            return beside
        versions = self.tiles.parent.parent / "landmasks"
        if not versions.is_dir():
            return None
        named = [versions / self.release, *sorted(p for p in versions.iterdir() if p.is_dir())]
        matching = [p for p in named if p.is_dir() and self.release.startswith(p.name)]
        if matching:
            return matching[0]
        return versions if any(versions.glob("grid_*.tif*")) else None

    def tile_paths(self, lon_cell: int, lat_cell: int, year: int) -> tuple[Path, Path]:
        """Paths of the stored numbers and the scales of the cell (in tenths of a degree)."""
        name = grid_name(lon_cell, lat_cell)
        folder = self.tiles / str(year) / name
        return folder / f"{name}.npy", folder / f"{name}_scales.npy"

    def landmask_path(self, lon_cell: int, lat_cell: int) -> Path | None:
        """Path of the cell's landmask where it exists."""
        if self.landmasks is None:
            return None
        path = self.landmasks / f"{grid_name(lon_cell, lat_cell)}.tiff"
        return path if path.is_file() else None

    def registered(self, year: int) -> set[tuple[int, int]]:
        """Cells that a registry beside the tiles lists for a year; none without a registry."""
        if year not in self._registered:
            self._registered[year] = self._read_registry(year)
        return self._registered[year]

    @cached_property
    def _registered(self) -> dict[int, set[tuple[int, int]]]:
        return {}

    def _read_registry(self, year: int) -> set[tuple[int, int]]:
        folders = dict.fromkeys(
            [self.tiles, self.tiles.parent, self.tiles.parent.parent, self.root]
        )
        for folder in folders:
            for name in _REGISTRIES:
                if (folder / name).is_file():
                    return _registered_cells(folder / name, year)
        return set()


def grid_name(lon_cell: int, lat_cell: int) -> str:
    """Name of a tile after its centre: cell (1, 520) is ``grid_0.15_52.05``."""
    return f"grid_{(10 * lon_cell + 5) / 100:.2f}_{(10 * lat_cell + 5) / 100:.2f}"


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
    if root.name == _TILES and root.is_dir():
        return {"v1": root}
    if _holds_tiles(root):
        return {root.name if root.parent.name == "npy" else "v1": root}
    found = {}
    for tiles in (root / _TILES, root / "v1" / _TILES):
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


def _registered_cells(path: Path, year: int) -> set[tuple[int, int]]:
    """Cells (in tenths of a degree) that a registry lists for one year."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        if file.metadata.num_rows > _MAX_ROWS:
            raise LimitError(
                f"{path} lists {file.metadata.num_rows} tiles, the bound is {_MAX_ROWS}"
            )
        names = file.schema_arrow.names
        whole = {"lon_i", "lat_i"} <= set(names)
        columns = ["lon_i", "lat_i"] if whole else ["lon", "lat"]
        table = pq.read_table(path, columns=columns, filters=[("year", "==", year)])
    except (pa.ArrowException, OSError) as error:
        raise CorruptFileError(path, f"cannot be read as a registry: {error}") from error
    centres = [np.asarray(table.column(name), dtype=np.float64) for name in columns]
    # Centres in hundredths of a degree, 5 beyond the cell's first edge.
    cells = [np.rint(c if whole else c * 100).astype(np.int64) - 5 for c in centres]
    return set(zip((cells[0] // 10).tolist(), (cells[1] // 10).tolist(), strict=True))
