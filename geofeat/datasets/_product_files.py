"""Writers of the files in which AlphaEarth and TESSERA embeddings are published.

They serve simulated samples: layout, numbers' encoding and indices are the products', the extent
may be smaller (a published AlphaEarth file has 8192 x 8192 pixels in blocks of 1024 and overviews,
which nobody samples points from).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from geofeat._tessera_grid import tessera_grid

PIXEL_METRES = 10.0
ALPHAEARTH_BANDS = tuple(f"A{band:02d}" for band in range(64))
ALPHAEARTH_NODATA = -128
TESSERA_BANDS = 128
_TESSERA_TILES = "global_0.1_degree_representation"
_TESSERA_LANDMASKS = "global_0.1_degree_tiff_all"
# The registry asks for a time of writing; a constant keeps equal contents equal files.
_MTIME = 0.0


def quantize_alphaearth(vectors: np.ndarray) -> np.ndarray:
    """Store unit vectors as AlphaEarth does: sign(v) sqrt(abs(v)) 127.5, rounded, int8.

    Parameters
    ----------
    vectors : ndarray of shape (64, ...)
        Components in [-1, 1]; a vector with NaN becomes nodata in all bands.

    Returns
    -------
    stored : ndarray of int8, same shape
        Values -127..127, or -128 for nodata.
    """
    missing = np.isnan(vectors).any(axis=0)
    stored = np.sqrt(np.abs(vectors))
    stored *= np.sign(vectors)
    stored *= 127.5
    np.rint(stored, out=stored)
    np.clip(stored, -127, 127, out=stored)
    stored[:, missing] = ALPHAEARTH_NODATA
    return stored.astype(np.int8)


def write_alphaearth_file(
    path: Path, stored: np.ndarray, *, epsg: int, west: float, south: float, block_size: int = 1024
) -> None:
    """Write one annual file: south-up, one plane a band, ZSTD blocks, nodata -128.

    Parameters
    ----------
    path : Path
        File to write; its folders are made.
    stored : ndarray of int8 and shape (64, rows, columns)
        Stored values, the southern row first.
    epsg : int
        UTM zone, 326zz or 327zz.
    west, south : float
        Outer corner of the first pixel, in metres.
    block_size : int, default=1024
        Edge of a block in pixels, a multiple of 16.
    """
    import rasterio
    from rasterio.transform import Affine

    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="int8",
        count=stored.shape[0],
        height=stored.shape[1],
        width=stored.shape[2],
        crs=f"EPSG:{epsg}",
        transform=Affine(PIXEL_METRES, 0.0, west, 0.0, PIXEL_METRES, south),
        nodata=ALPHAEARTH_NODATA,
        interleave="band",
        tiled=True,
        blockxsize=block_size,
        blockysize=block_size,
        compress="zstd",
        zstd_level=3,
        predictor=1,
        bigtiff="yes",
        endianness="little",
    ) as dataset:
        dataset.write(stored)
        dataset.descriptions = ALPHAEARTH_BANDS


def write_alphaearth_index(annual: Path, *, prefix: str = "") -> Path:
    """Write aef_index.parquet for the files below a folder ``.../v1/annual``.

    Parameters
    ----------
    annual : Path
        Folder with files ``<year>/<zone>/<name>.tiff``.
    prefix : str, default=""
        Put before each file's path relative to ``annual``; the published index names a bucket.

    Returns
    -------
    index : Path
        The GeoParquet file, geometry column ``geom`` in EPSG:4326. As in the product, ``geom`` and
        ``wgs84_*`` end at the border of the UTM zone while ``utm_*`` bound the whole raster.
    """
    import geopandas

    rows = [
        {"fid": number, **_index_row(annual, path, prefix)}
        for number, path in enumerate(sorted(annual.glob("*/*/*.tiff")))
    ]
    index = annual / "aef_index.parquet"
    geopandas.GeoDataFrame(rows, geometry="geom", crs="EPSG:4326").to_parquet(index, index=False)
    return index


def _index_row(annual: Path, path: Path, prefix: str) -> dict[str, Any]:
    import rasterio
    import shapely
    from rasterio.warp import transform_geom

    with rasterio.open(path) as dataset:
        crs, bounds = dataset.crs, dataset.bounds
    south, north = sorted((bounds.bottom, bounds.top))
    square = shapely.box(bounds.left, south, bounds.right, north)
    # UTM edges are curves on the globe: a vertex each kilometre follows them to centimetres.
    outline = shapely.segmentize(square, 1000.0)
    geographic = transform_geom(crs, "EPSG:4326", shapely.geometry.mapping(outline))
    epsg = crs.to_epsg()
    zone, is_south = epsg % 100, epsg // 100 == 327
    first_lon = 6.0 * zone - 186.0
    south_lat, north_lat = (-90.0, 0.0) if is_south else (0.0, 90.0)
    band = shapely.box(first_lon, south_lat, first_lon + 6.0, north_lat)
    footprint = shapely.geometry.shape(geographic).intersection(band)
    lon_min, lat_min, lon_max, lat_max = footprint.bounds
    relative = path.relative_to(annual)
    return {
        "geom": footprint,
        "crs": f"EPSG:{epsg}",
        "path": prefix + relative.as_posix(),
        "year": int(relative.parts[0]),
        "utm_zone": f"{zone}{'S' if is_south else 'N'}",
        "utm_west": bounds.left,
        "utm_south": south,
        "utm_east": bounds.right,
        "utm_north": north,
        "wgs84_west": lon_min,
        "wgs84_south": lat_min,
        "wgs84_east": lon_max,
        "wgs84_north": lat_max,
    }


def quantize_tessera(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Store vectors as TESSERA does: int8 and one scale a vector, its largest component / 127.

    Parameters
    ----------
    vectors : ndarray of shape (n, 128)
        Any finite values.

    Returns
    -------
    stored : ndarray of int8 and shape (n, 128)
        Values -127..127.
    scales : ndarray of float32 and shape (n,)
        What to multiply by; at least 1e-8, since 0 means missing.
    """
    scales = np.maximum(np.abs(vectors).max(axis=1) / 127.0, 1e-8).astype(np.float32)
    stored = np.clip(np.rint(vectors / scales[:, None]), -127, 127).astype(np.int8)
    return stored, scales


def write_tessera_tile(
    root: Path,
    lon: float,
    lat: float,
    year: int,
    pixels: tuple[np.ndarray, np.ndarray],
    vectors: np.ndarray,
) -> dict[str, Any]:
    """Write the embedding, the scales and the checksums of one 0.1 degree tile.

    Parameters
    ----------
    root : Path
        Folder that holds all tiles.
    lon, lat : float
        Centre of the tile in degrees.
    year : int
        Year of the embedding.
    pixels : tuple of two ndarray of shape (n,)
        Row and column of the pixels that have a value. All others stay zero, which is how the
        product marks pixels that were never inferred; on most file systems they take no room.
    vectors : ndarray of shape (n, 128)
        The pixels' embedding.

    Returns
    -------
    record : dict
        The tile's row of the registry.
    """
    grid = tessera_grid(lon, lat)
    stored, scales = quantize_tessera(vectors)
    name = _tessera_name(lon, lat)
    folder = root / _TESSERA_TILES / str(year) / name
    folder.mkdir(parents=True, exist_ok=True)
    parts = {f"{name}.npy": stored, f"{name}_scales.npy": scales}
    for file, values in parts.items():
        shape = (grid.height, grid.width, *values.shape[1:])
        _write_sparse(folder / file, shape, pixels, values)
    hashes = {file: _sha256(folder / file) for file in parts}
    (folder / "SHA256").write_text("".join(f"{hashes[file]}  {file}\n" for file in parts))
    embedding, scale_file = (folder / file for file in parts)
    return {
        "lat": lat,
        "lon": lon,
        "year": year,
        "hash": hashes[embedding.name],
        "scales_hash": hashes[scale_file.name],
        "mtime": _MTIME,
        "file_size": embedding.stat().st_size,
        "scales_size": scale_file.stat().st_size,
    }


def write_tessera_landmask(root: Path, lon: float, lat: float) -> None:
    """Write the GeoTIFF that gives a tile its place, for a tile that is land throughout.

    Parameters
    ----------
    root : Path
        Folder that holds all tiles.
    lon, lat : float
        Centre of the tile in degrees.
    """
    import rasterio

    path = root / _TESSERA_LANDMASKS / f"{_tessera_name(lon, lat)}.tiff"
    path.parent.mkdir(parents=True, exist_ok=True)
    grid = tessera_grid(lon, lat)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="uint8",
        count=1,
        height=grid.height,
        width=grid.width,
        crs=f"EPSG:{grid.epsg}",
        transform=grid.transform,
        compress="lzw",
        endianness="little",
    ) as dataset:
        dataset.write(np.ones((grid.height, grid.width), dtype=np.uint8), 1)


def write_tessera_registry(root: Path, tiles: Iterable[dict[str, Any]]) -> None:
    """Write registry.parquet and landmasks.parquet as geotessera 0.7 reads them; landmasks first.

    Parameters
    ----------
    root : Path
        Folder that holds all tiles.
    tiles : iterable of dict
        What `write_tessera_tile` returned for each.
    """
    tiles = sorted(tiles, key=lambda tile: (tile["year"], tile["lat"], tile["lon"]))
    _write_registry(root / "registry.parquet", tiles)
    landmasks = []
    for lat, lon in sorted({(tile["lat"], tile["lon"]) for tile in tiles}):
        path = root / _TESSERA_LANDMASKS / f"{_tessera_name(lon, lat)}.tiff"
        size = path.stat().st_size
        landmasks.append({"lat": lat, "lon": lon, "hash": _sha256(path), "file_size": size})
    _write_registry(root / "landmasks.parquet", landmasks)


def _write_registry(path: Path, records: list[dict[str, Any]]) -> None:
    import geopandas
    import pandas as pd

    table = pd.DataFrame(records)
    for axis in ("lon", "lat"):
        table[f"{axis}_i"] = (table[axis] * 100).round().astype(np.int32)
    centres = geopandas.points_from_xy(table["lon"], table["lat"])
    geopandas.GeoDataFrame(table, geometry=centres, crs="EPSG:4326").to_parquet(path, index=False)


def _tessera_name(lon: float, lat: float) -> str:
    return f"grid_{lon:.2f}_{lat:.2f}"


def _write_sparse(
    path: Path, shape: tuple[int, ...], pixels: tuple[np.ndarray, np.ndarray], values: np.ndarray
) -> None:
    """Write an .npy of zeros but for some pixels, without writing the zeros."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=values.dtype, shape=shape)
    array[pixels] = values
    array.flush()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
