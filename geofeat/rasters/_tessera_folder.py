"""Where TESSERA tiles and landmasks lie below a folder, in each layout in use."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from geofeat.exceptions import CorruptFileError, LimitError, RasterMismatchError, SourceError

_TILES = "global_0.1_degree_representation"
_LANDMASKS = "global_0.1_degree_tiff_all"
_YEAR = re.compile(r"(?:19|20)\d\d")
_REGISTRIES = ("registry.parquet", "manifest.parquet")
_VERSION = ["version", "variant"]
# Names of the published datasets by version and variant of a manifest.
_DATASETS = {("1", "vultr"): "v1", ("1.1", "cambridge"): "v1.1-cam"}
# Key of a folder that says nothing of its release.
_UNNAMED = ""
_MAX_ROWS = 50_000_000


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
                root, f"holds no TESSERA tiles: expected {_TILES}/<year>/grid_<lon>_<lat>/ or npy/"
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
        listed = set().union(*map(_listed_releases, self._registries))
        return listed.pop() if len(listed) == 1 else None

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
        release = self.release or ""
        matching = [
            folder
            for folder in versions.iterdir()
            if folder.is_dir() and re.match(re.escape(folder.name) + r"(?:[-.]|$)", release)
        ]
        if matching:  # v1.1 rather than v1 for v1.1-cam; v1 is no part of v10
            return max(matching, key=lambda folder: len(folder.name))
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

    @cached_property
    def _registries(self) -> list[Path]:
        """Registries beside the tiles, the nearest first."""
        folders = [self.tiles, self.tiles.parent, self.tiles.parent.parent, self.root]
        paths = (folder / name for folder in dict.fromkeys(folders) for name in _REGISTRIES)
        return [path for path in paths if path.is_file()]

    def _read_registry(self, year: int) -> set[tuple[int, int]]:
        if not self._registries:
            return set()
        return _registered_cells(self._registries[0], year, self.release)


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
        return {root.name if root.parent.name == "npy" else _UNNAMED: root}
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


def _registered_cells(path: Path, year: int, release: str | None) -> set[tuple[int, int]]:
    """Cells (in tenths of a degree) that a registry lists for one year and the release."""
    names = _columns_of(path)
    whole = {"lon_i", "lat_i"} <= set(names)
    columns = ["lon_i", "lat_i"] if whole else ["lon", "lat"]
    told = _VERSION if set(_VERSION) <= set(names) else []
    table = _read_columns(path, columns + told, filters=[("year", "==", year)])
    centres = [np.asarray(table.column(name), dtype=np.float64) for name in columns]
    if not np.isfinite(centres).all():
        raise CorruptFileError(path, f"lists tiles without a place in the year {year}")
    if told:
        pairs = zip(*(table.column(name).to_pylist() for name in told), strict=True)
        ours = np.array([_dataset_name(*pair) == release for pair in pairs], dtype=bool)
        centres = [centre[ours] for centre in centres]
    # Centres in hundredths of a degree, 5 beyond the cell's first edge.
    cells = [np.rint(c if whole else c * 100).astype(np.int64) - 5 for c in centres]
    return set(zip((cells[0] // 10).tolist(), (cells[1] // 10).tolist(), strict=True))


def _listed_releases(path: Path) -> set[str]:
    """Names of the datasets that a manifest lists."""
    if not set(_VERSION) <= set(_columns_of(path)):
        return set()
    rows = _read_columns(path, _VERSION).group_by(_VERSION).aggregate([]).to_pylist()
    return {_dataset_name(row["version"], row["variant"]) for row in rows}


def _dataset_name(version: object, variant: object) -> str:
    """Name under which a version and variant are published: 1.1 and cambridge are v1.1-cam."""
    number = str(version).removesuffix(".0")
    return _DATASETS.get((number, str(variant)), f"v{number}-{variant}")


def _columns_of(path: Path) -> list[str]:
    """Names of a registry's columns, after a check of its length."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise CorruptFileError(path, f"cannot be read as a registry: {error}") from error
    if file.metadata.num_rows > _MAX_ROWS:
        raise LimitError(f"{path} lists {file.metadata.num_rows} tiles, the bound is {_MAX_ROWS}")
    names: list[str] = file.schema_arrow.names
    return names


def _read_columns(path: Path, columns: list[str], filters: Any = None) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, columns=columns, filters=filters)
    except (pa.ArrowException, OSError) as error:
        raise CorruptFileError(path, f"cannot be read as a registry: {error}") from error
