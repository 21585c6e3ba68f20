"""A small AlphaEarth collection on both sides of a zone seam, and what it must answer."""

from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
from shapely.geometry import box

from geofeat.rasters import _block_cache, _object_store, _raster_reader, _remote, _transport
from tests.rasters.http_server import serving
from tests.rasters.writers import (
    alphaearth_values,
    from_lonlat,
    random_bytes,
    to_lonlat,
    write_alphaearth,
)

SIZE = 64
SEAM = 12.0  # between zones 32 and 33


@pytest.fixture
def reads(monkeypatch):
    """List of (path, row, col, bands) of every block read."""
    made = []
    read_block = _raster_reader.read_block

    def counting(dataset, bands, window, out):
        made.append(
            (dataset.name, window.row, window.col, window.height, window.width, bands.tolist())
        )
        return read_block(dataset, bands, window, out)

    monkeypatch.setattr(_raster_reader, "read_block", counting)
    return made


def block_planes(reads, block):
    """Every (path, block row, block col, band) that was decoded, with repetitions."""
    return [
        (path, i, j, band)
        for path, row, col, height, width, bands in reads
        for i in range(row // block, -(-(row + height) // block))
        for j in range(col // block, -(-(col + width) // block))
        for band in bands
    ]


@pytest.fixture(scope="session")
def seam(tmp_path_factory):
    """Four rasters at lon 12, lat 47: zones 32 and 33, years 2022 and 2023, overhanging the seam.

    In 2023 the zone 32 raster has a hole of nodata.
    """
    root = tmp_path_factory.mktemp("annual")
    files = []
    for year in (2022, 2023):
        for zone in (32, 33):
            epsg = 32600 + zone
            x, y = from_lonlat(SEAM, 47.0, epsg)
            west, south = 10 * np.floor(x / 10) - 320, 10 * np.floor(y / 10) - 320
            stored = random_bytes(year + zone, (64, SIZE, SIZE))
            if (year, zone) == (2023, 32):
                stored[:, 10:40, 5:20] = -128
            path = root / str(year) / f"{zone}N" / f"x{zone}a{year}-0000000000-0000008192.tiff"
            write_alphaearth(path, stored, epsg=epsg, west=west, south=south)
            files.append(
                SimpleNamespace(
                    path=str(path),
                    year=year,
                    zone=f"{zone}N",
                    epsg=epsg,
                    west=west,
                    south=south,
                    stored=stored,
                )
            )
    return SimpleNamespace(root=root, files=files, index=seam_index(files))


def seam_index(files):
    """Index rows as published: footprints end at the zone's edge."""
    rows = []
    for file in files:
        side = SIZE * 10
        corners = to_lonlat(
            file.west + np.array([0, side, side, 0]),
            file.south + np.array([0, 0, side, side]),
            file.epsg,
        )
        west, south = corners.min(axis=0)
        east, north = corners.max(axis=0)
        half = (
            box(west, south, SEAM, north) if file.zone == "32N" else box(SEAM, south, east, north)
        )
        footprint = half.intersection(gpd.GeoSeries.from_xy(*corners.T).union_all().convex_hull)
        west, south, east, north = footprint.bounds
        rows.append(
            {
                "crs": f"EPSG:{file.epsg}",
                "path": "gs://alphaearth_foundations/satellite_embedding/v1/annual/"
                + "/".join(file.path.split("/")[-3:]),
                "year": file.year,
                "utm_zone": file.zone,
                "utm_west": file.west,
                "utm_south": file.south,
                "utm_east": file.west + side,
                "utm_north": file.south + side,
                "wgs84_west": west,
                "wgs84_south": south,
                "wgs84_east": east,
                "wgs84_north": north,
                "geom": footprint,
            }
        )
    return gpd.GeoDataFrame(rows, geometry="geom", crs="EPSG:4326")


@pytest.fixture(scope="session")
def seam_points():
    """Points on both sides of the seam and beyond every raster, lon and lat."""
    rng = np.random.default_rng(5)
    return np.column_stack(
        [rng.uniform(SEAM - 0.006, SEAM + 0.006, 400), rng.uniform(46.995, 47.005, 400)]
    )


def seam_truth(seam, points, years, *, by_footprint):
    """Oracle: one point after the other, from the arrays that were written."""
    values = np.full((len(points), 64), np.nan, np.float32)
    reasons = np.full(len(points), "no_coverage", dtype=object)
    for i, ((lon, lat), year) in enumerate(zip(points, years, strict=True)):
        own = f"{int((lon + 180) // 6) + 1}N"
        files = sorted(
            (file for file in seam.files if file.year == year), key=lambda file: file.zone != own
        )
        for file in files:
            x, y = from_lonlat(lon, lat, file.epsg)
            col, row = int((x - file.west) // 10), int((y - file.south) // 10)
            if by_footprint and file.zone != own:
                continue
            if not (0 <= col < SIZE and 0 <= row < SIZE):
                continue
            reasons[i] = "nodata" if reasons[i] == "no_coverage" else reasons[i]
            if file.stored[0, row, col] != -128:
                values[i] = alphaearth_values(file.stored[:, row, col])
                reasons[i] = "ok"
                break
    return values, reasons


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A running `FileServer` that geofeat has never asked, and an empty cache folder."""
    monkeypatch.setenv("GEOFEAT_CACHE", str(tmp_path / "cache"))
    for name in ("GEOFEAT_OFFLINE", "HF_HUB_OFFLINE", "GEOFEAT_CACHE_BYTES", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    _remote.forget()
    with serving() as files:
        yield files
    for cache in _block_cache._caches.values():
        cache.close()
    _block_cache._caches.clear()


@pytest.fixture
def waits(monkeypatch):
    """Seconds that would have been waited between attempts; nothing waits."""
    made = []
    monkeypatch.setattr(_transport, "pause", lambda seconds, halted=None: made.append(seconds))
    return made


@pytest.fixture(params=["obstore", "urllib3"])
def transport(request, monkeypatch):
    """Which library fetches ranges."""
    if request.param == "urllib3":
        monkeypatch.setattr(_object_store, "is_usable", lambda: False)
    else:
        pytest.importorskip("obstore")
    return request.param
