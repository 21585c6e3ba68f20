"""Small files in the true formats, written independently of the package."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.warp import transform_bounds


def random_bytes(seed, shape, *, low=-127):
    return np.random.default_rng(seed).integers(low, 128, shape, dtype=np.int8)


def write_raster(path, values, *, crs, transform, names=None, interleave="band", **profile):
    """GeoTIFF of (bands, height, width) values; returns its path as str."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, height, width = values.shape
    profile = {"compress": "zstd", "tiled": True, "blockxsize": 16, "blockysize": 16, **profile}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=bands,
        dtype=values.dtype,
        crs=crs,
        transform=transform,
        interleave=interleave,
        **profile,
    ) as file:
        file.write(values)
        for band, name in enumerate(names or [], start=1):
            file.set_band_description(band, name)
    return str(path)


def write_alphaearth(path, stored, *, epsg, west, south, **profile):
    """South-up planar int8 GeoTIFF of 64 bands, as AlphaEarth publishes them."""
    return write_raster(
        path,
        stored,
        crs=f"EPSG:{epsg}",
        transform=Affine(10, 0, west, 0, 10, south),
        names=[f"A{band:02d}" for band in range(64)],
        nodata=-128,
        BIGTIFF="YES",
        **profile,
    )


def write_index(seam, kind, folder):
    """The index in one of its forms; returns its path."""
    folder.mkdir(exist_ok=True)
    path = folder / f"aef_index.{kind.split('-')[-1]}"
    frame = seam.index
    if kind == "gpkg":
        frame.to_file(path, driver="GPKG")
    elif kind == "csv":
        plain = pd.DataFrame(frame.drop(columns="geom"))
        plain.insert(0, "WKT", frame.geom.to_wkt())
        plain.to_csv(path, index=False)
    elif kind == "boxes-parquet":
        pd.DataFrame(frame.drop(columns="geom")).to_parquet(path)
    elif kind == "stac-parquet":
        table = pa.table(
            {
                "id": [p.split("/")[-1] for p in frame.path],
                "geometry": list(shapely.to_wkb(frame.geom)),
                "datetime": pd.to_datetime(frame.year.astype(str) + "-01-01", utc=True),
                "assets": [
                    {"data": {"href": p.replace("gs://alphaearth_foundations", "s3://mirror")}}
                    for p in frame.path
                ],
            }
        )
        pq.write_table(table, path)
    else:
        frame.to_parquet(path)
    return path


def alphaearth_values(stored):
    """The published formula, number by number."""
    ratio = stored.astype(np.float32) / np.float32(127.5)
    return np.where(stored == -128, np.float32(np.nan), np.sign(ratio) * ratio * ratio)


def tessera_geometry(lon, lat):
    epsg = (32600 if lat >= 0 else 32700) + int((lon + 180) // 6) + 1
    cell = lon - 0.05, lat - 0.05, lon + 0.05, lat + 0.05
    left, bottom, right, top = transform_bounds("EPSG:4326", f"EPSG:{epsg}", *cell)
    return (
        epsg,
        Affine(10, 0, left, 0, -10, top),
        round((top - bottom) / 10),
        round((right - left) / 10),
    )


def write_tessera(folder, lon, lat, stored, scales, *, landmask_folder=None, land=None):
    """One tile (and landmask) of a TESSERA release, in ``folder`` of one year."""
    name = f"grid_{lon:.2f}_{lat:.2f}"
    tile = folder / name
    tile.mkdir(parents=True, exist_ok=True)
    np.save(tile / f"{name}.npy", stored)
    np.save(tile / f"{name}_scales.npy", scales)
    if landmask_folder is not None:
        epsg, transform, height, width = tessera_geometry(lon, lat)
        land = np.ones((height, width), np.uint8) if land is None else land
        write_raster(
            landmask_folder / f"{name}.tiff",
            land[None],
            crs=f"EPSG:{epsg}",
            transform=transform,
            compress="lzw",
            tiled=False,
            blockxsize=None,
            blockysize=None,
        )
    return tile / f"{name}.npy"


def to_lonlat(x, y, epsg):
    return np.column_stack(Transformer.from_crs(epsg, 4326, always_xy=True).transform(x, y))


def from_lonlat(lon, lat, epsg):
    return Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)


def random_points_in(west, south, width, height, epsg, n, seed):
    """Points within pixels of a 10 m grid, clear of the edges of pixels; lon, lat, col, row."""
    rng = np.random.default_rng(seed)
    col, row = rng.integers(0, width, n), rng.integers(0, height, n)
    within = rng.uniform(0.01, 0.99, (2, n))
    lonlat = to_lonlat(west + 10 * (col + within[0]), south + 10 * (row + within[1]), epsg)
    return lonlat, col, row


def place_of(transform, col, row):
    """Coordinates of fractional pixels."""
    a, b, c, d, e, f = transform[:6]
    return a * col + b * row + c, d * col + e * row + f


def pixel_of(transform, x, y):
    """Column and row of the pixel of a rotation-free grid that contains a place."""
    return int(np.floor((x - transform.c) / transform.a)), int(
        np.floor((y - transform.f) / transform.e)
    )


def random_pixels(n, height, width, transform, epsg=32632, seed=0):
    """Places inside pixels, clear of their edges: lon, lat, row, col."""
    rng = np.random.default_rng(seed)
    row, col = rng.integers(0, height, n), rng.integers(0, width, n)
    x, y = place_of(transform, col + rng.uniform(0.05, 0.95, n), row + rng.uniform(0.05, 0.95, n))
    return to_lonlat(x, y, epsg), row, col
