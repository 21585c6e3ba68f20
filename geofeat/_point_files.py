"""Files of points in, files of points with features out."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geofeat.rasters._extract_report import Extraction

_PARQUET = {".parquet", ".geoparquet", ".pq"}
_DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON"}
_VECTORS = {*_DRIVERS, ".json", ".fgb", ".shp"}
_PAIRS = [("lon", "lat"), ("long", "lat"), ("lng", "lat"), ("longitude", "latitude"), ("x", "y")]


def read_points(path: Path, crs: str | None, extra: str | None = None) -> Any:
    """Frame of all points of a file, as transformers take it.

    Parameters
    ----------
    path : Path
        File of points.
    crs : str or None
        Of plain columns x and y.
    extra : str or None
        A further column to read.
    """
    from geofeat.rasters._extract_points import open_points

    table = open_points(_points_of(path), crs)
    if table.n_rows == 0:
        raise ValueError(f"{path} holds no points")
    return next(iter(table.frames(table.n_rows, 0, [] if extra is None else [extra])))


def write_features(
    points: Path,
    transformer: Any,
    out: Path,
    *,
    columns: list[str] | None,
    dtype: str,
    crs: str | None,
    resume: bool,
    progress: bool | None,
) -> Extraction:
    """Write the features of a file of points to a file whose kind its name tells.

    Parquet is written piece by piece, other kinds from a parquet file that goes afterwards.
    """
    from geofeat import extract

    options: dict[str, Any] = {"columns": columns, "dtype": dtype, "progress": progress}
    suffix = out.suffix.lower()
    if suffix not in _PARQUET | set(_DRIVERS) | {".csv"}:
        raise ValueError(f"{out} must end in .parquet, .gpkg, .geojson or .csv")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"the folder {out.parent} does not exist")
    if suffix not in _PARQUET and out.exists() and resume:
        raise FileExistsError(f"{out} exists; --no-resume replaces it")
    given = _points_of(points)
    if suffix in _PARQUET:
        return extract(given, transformer, out, crs=crs, resume=resume, **options)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    try:
        report = extract(given, transformer, folder / "features.parquet", crs=crs, **options)
        _convert(report.path, folder / f"features{suffix}")
        (folder / f"features{suffix}").replace(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return report._replace(path=out)


def _points_of(path: Path) -> Any:
    """Return the path of a parquet file as it is, other files as a frame."""
    import geopandas
    import pandas as pd

    suffix = path.suffix.lower()
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if suffix in _PARQUET:
        return path
    if suffix == ".csv":
        frame = pd.read_csv(path)
        names = {str(name).lower() for name in frame.columns}
        if not any({*pair} <= names for pair in _PAIRS):
            raise ValueError(
                f"{path} has no columns lon and lat, or x and y; it has {', '.join(frame.columns)}"
            )
        return frame
    if suffix in _VECTORS:
        return geopandas.read_file(path)
    raise ValueError(f"{path} is none of .parquet, .csv, {', '.join(sorted(_VECTORS))}")


def _convert(parquet: Path, out: Path) -> None:
    """Write a GeoParquet file of points in another format."""
    import geopandas

    try:
        frame: Any = geopandas.read_parquet(parquet)
    except ValueError:  # no geometry was kept
        import pandas as pd

        frame = pd.read_parquet(parquet)
    if out.suffix == ".csv":
        _as_plain(frame).to_csv(out, index=False)
        return
    half = frame.columns[frame.dtypes == "float16"]
    frame.astype(dict.fromkeys(half, "float32")).to_file(out, driver=_DRIVERS[out.suffix.lower()])


def _as_plain(frame: Any) -> Any:
    """Frame with lon and lat in place of its geometry, unless its points have such columns."""
    geometry = getattr(frame, "geometry", None) if hasattr(frame, "crs") else None
    if geometry is None:
        return frame
    plain = frame.drop(columns=geometry.name)
    names = {str(name).lower() for name in plain.columns}
    if not any({*pair} <= names for pair in _PAIRS):
        degrees = geometry.to_crs(4326)
        plain.insert(0, "lon", degrees.x)
        plain.insert(1, "lat", degrees.y)
    return plain
