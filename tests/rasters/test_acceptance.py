"""The acceptance list of embedding rasters, clause by clause; the tests beside go further."""

import math
import os
import pickle
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.testing import assert_allclose, assert_array_equal
from rasterio.vrt import WarpedVRT
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from geofeat import AlphaEarthSource, EmbeddingRasterSampler, RasterSource, TesseraSource
from geofeat._threads import usable_threads
from geofeat.exceptions import CoverageWarning
from tests.rasters.conftest import SIZE, block_planes, seam_truth
from tests.rasters.writers import (
    alphaearth_values,
    from_lonlat,
    pixel_of,
    place_of,
    random_bytes,
    random_pixels,
    tessera_geometry,
    to_lonlat,
    write_alphaearth,
    write_index,
    write_raster,
    write_tessera,
)

# High up a cell is narrow, so that tiles stay small: 1120 rows, about 60 columns.
LON, LAT = 10.05, 87.05
TILES = "global_0.1_degree_representation"
LANDMASKS = "global_0.1_degree_tiff_all"


def sampler(source, **parameters):
    return EmbeddingRasterSampler(source, **{"on_missing": "nan", "progress": False, **parameters})


def tessera_tile(seed, lon=LON, lat=LAT):
    _, _, height, width = tessera_geometry(lon, lat)
    rng = np.random.default_rng(seed)
    stored = rng.integers(-127, 128, (height, width, 128), dtype=np.int8)
    return stored, rng.uniform(0.01, 0.3, stored.shape[:2]).astype(np.float32)


def points_of_cell(n, seed, lon=LON, lat=LAT):
    """Points of a cell that lie clear of the edges of pixels, with their column and row."""
    epsg, transform, height, width = tessera_geometry(lon, lat)
    points, row, col = random_pixels(20 * n, height, width, transform, epsg, seed)
    of_cell = np.floor(points * 10) == [math.floor(lon * 10), math.floor(lat * 10)]
    kept = np.flatnonzero(of_cell.all(axis=1))[:n]
    return points[kept], col[kept], row[kept]


def pixel_centres(transform, epsg, cols, rows):
    return to_lonlat(*place_of(transform, np.asarray(cols) + 0.5, np.asarray(rows) + 0.5), epsg)


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """One AlphaEarth file of zone 32 with a hole, its bytes and its transform."""
    stored = random_bytes(3, (64, SIZE, SIZE))
    stored[:, 20:24, 30:33] = -128
    path = tmp_path_factory.mktemp("field") / "field.tiff"
    write_alphaearth(path, stored, epsg=32632, west=500_000, south=5_300_000)
    return str(path), stored, Affine(10, 0, 500_000, 0, 10, 5_300_000)


def test_points_in_two_adjacent_zones_and_both_hemispheres(tmp_path):
    lonlat, truth = [], []
    for epsg, south in ((32632, 0), (32633, 0), (32732, 9_999_360), (32733, 9_999_360)):
        stored = random_bytes(epsg, (64, SIZE, SIZE))
        zone = f"{epsg % 100}{'N' if epsg < 32700 else 'S'}"
        path = tmp_path / "2024" / zone / f"{zone}.tiff"
        write_alphaearth(path, stored, epsg=epsg, west=600_000, south=south)
        points, row, col = random_pixels(
            50, SIZE, SIZE, Affine(10, 0, 600_000, 0, 10, south), epsg, seed=epsg
        )
        lonlat.append(points)
        truth.append(alphaearth_values(stored[:, row, col]).T)
    order = np.random.default_rng(0).permutation(200)
    values = sampler(AlphaEarthSource(tmp_path)).transform(np.concatenate(lonlat)[order])
    assert_array_equal(values, np.concatenate(truth)[order])


def test_across_the_6_degree_seam_overhang_is_not_used(seam, seam_points, tmp_path):
    source = AlphaEarthSource(write_index(seam, "parquet", tmp_path), root=seam.root)
    years = np.full(len(seam_points), 2022)
    values, info = sampler(source, year=2022).sample(seam_points, return_info=True)
    truth, reasons = seam_truth(seam, seam_points, years, by_footprint=True)
    assert_array_equal(values, truth)
    assert info.reason.tolist() == reasons.tolist()
    assert (info.reason == "ok").sum() > 100


def test_on_both_sides_of_the_antimeridian_180_equals_minus_180(tmp_path):
    tiles = {}
    for lon in (179.95, -179.95):
        tiles[lon] = tessera_tile(int(abs(lon) + lon), lon, LAT)
        write_tessera(tmp_path / "2024", lon, LAT, *tiles[lon])
    source = TesseraSource(tmp_path)
    for lon, (stored, scales) in tiles.items():
        points, col, row = points_of_cell(50, 1, lon)
        expected = stored[row, col].astype(np.float32) * scales[row, col, None]
        for turn in (-360, 0, 360):
            assert_array_equal(sampler(source).transform(points + np.array([turn, 0])), expected)
    edge = sampler(source).transform([[180.0, LAT], [-180.0, LAT]])
    assert np.isfinite(edge).all()
    assert_array_equal(edge[0], edge[1])


def test_longitude_0_and_latitude_0_cells(tmp_path):
    corners = [(lon, lat) for lon in (-0.05, 0.05) for lat in (-0.05, 0.05)]
    tiles = {}
    for place in corners:  # a thin margin of true numbers; full tiles would take 160 MB each
        epsg, transform, height, width = tessera_geometry(*place)
        stored = np.zeros((height, width, 128), dtype=np.int8)
        scales = np.zeros((height, width), dtype=np.float32)
        x, y = from_lonlat(0.001 * np.sign(place[0]), 0.001 * np.sign(place[1]), epsg)
        col, row = pixel_of(transform, x, y)
        stored[row, col], scales[row, col] = random_bytes(len(tiles), 128), 0.1
        write_tessera(tmp_path / "2024", *place, stored, scales)
        tiles[place] = stored[row, col].astype(np.float32) * np.float32(0.1)
    values = sampler(TesseraSource(tmp_path)).transform([np.sign(p) * 0.001 for p in corners])
    assert_array_equal(values, [tiles[place] for place in corners])


def test_south_up_file_equals_its_north_up_vrt_and_north_up_copy(field, tmp_path):
    path, stored, transform = field
    north_up = Affine(10, 0, transform.c, 0, -10, transform.f + 10 * SIZE)
    copy = write_raster(
        tmp_path / "copy.tif",
        stored[:, ::-1],
        crs="EPSG:32632",
        transform=north_up,
        nodata=-128,
        names=[f"A{band:02d}" for band in range(64)],
    )

    with (
        rasterio.open(path) as file,
        WarpedVRT(
            file,
            crs="EPSG:32632",
            transform=north_up,
            width=SIZE,
            height=SIZE,
            nodata=-128,
            dtype="int8",
        ) as warped,
    ):
        from rasterio.shutil import copy as copy_raster

        copy_raster(warped, tmp_path / "field.vrt", driver="VRT")
    points, row, col = random_pixels(300, SIZE, SIZE, transform, seed=5)
    expected = alphaearth_values(stored[:, row, col]).T
    for form in (path, copy, str(tmp_path / "field.vrt")):
        assert_array_equal(sampler(AlphaEarthSource(form)).transform(points), expected)


@pytest.mark.parametrize("kind", ["parquet", "gpkg", "csv", "stac-parquet"])
def test_index_in_parquet_gpkg_csv_or_stac_form_and_prefix_rewriting(
    seam, seam_points, tmp_path, kind
):
    index = write_index(seam, kind, tmp_path)
    mirror = "s3://mirror/" if kind == "stac-parquet" else "gs://alphaearth_foundations/"
    source = AlphaEarthSource(
        index, prefixes={f"{mirror}satellite_embedding/v1/annual/": str(seam.root)}
    )
    truth, _ = seam_truth(seam, seam_points, np.full(len(seam_points), 2023), by_footprint=True)
    assert_array_equal(sampler(source, year=2023).transform(seam_points), truth)


def test_nodata_is_nan_in_one_year_only(seam, tmp_path):
    source = AlphaEarthSource(write_index(seam, "parquet", tmp_path), root=seam.root)
    hole = seam.files[2]  # 2023, zone 32
    transform = Affine(10, 0, hole.west, 0, 10, hole.south)
    points = pixel_centres(transform, hole.epsg, [5, 10, 19], [10, 20, 39])
    values = sampler(source, year=[2022, 2023]).transform(points)
    assert np.isfinite(values[:, :64]).all()
    assert np.isnan(values[:, 64:]).all()


def test_year_per_row(seam, seam_points, tmp_path):
    source = AlphaEarthSource(write_index(seam, "parquet", tmp_path), root=seam.root)
    years = np.random.default_rng(1).choice([2022, 2023], len(seam_points))
    frame = pd.DataFrame({"lon": seam_points[:, 0], "lat": seam_points[:, 1], "surveyed": years})
    truth, _ = seam_truth(seam, seam_points, years, by_footprint=True)
    assert_array_equal(sampler(source, year="surveyed").transform(frame), truth)
    assert_array_equal(sampler(source, year=years).transform(seam_points), truth)


def test_unsorted_duplicated_empty_and_nan_inputs(field):
    path, stored, transform = field
    points, row, col = random_pixels(100, SIZE, SIZE, transform, seed=6)
    order = np.random.default_rng(2).integers(0, 100, 250)
    mixed = np.concatenate([points[order], [[np.nan, 48.0], [9.0, np.nan]]])
    expected = alphaearth_values(stored[:, row, col]).T[order]
    values = sampler(path).transform(mixed)
    assert_array_equal(values[:-2], expected)
    assert np.isnan(values[-2:]).all()
    geometry = gpd.GeoSeries([shapely.Point(), None, shapely.Point(points[0])], crs=4326)
    values, info = sampler(path).sample(geometry, return_info=True)
    assert info.reason.tolist() == ["bad_coordinate", "bad_coordinate", "ok"]
    assert_array_equal(values[2], alphaearth_values(stored[:, row[0], col[0]]))
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        sampler(path).transform(np.empty((0, 2)))


def test_projected_geodataframe_equals_its_lonlat_twin(field):
    path, _, transform = field
    points, _, _ = random_pixels(100, SIZE, SIZE, transform, seed=7)
    twin = gpd.GeoSeries.from_xy(*points.T, crs=4326)
    values = sampler(path).transform(twin)
    for crs in (3857, 3035, 32633, "ESRI:54030"):
        assert_array_equal(sampler(path).transform(twin.to_crs(crs)), values)


def test_tessera_2d_and_3d_scales(tmp_path):
    stored, flat = tessera_tile(1)
    deep = np.random.default_rng(3).uniform(0.01, 0.3, stored.shape).astype(np.float32)
    points, col, row = points_of_cell(80, 2)
    for name, scales in (("flat", flat), ("deep", deep)):
        write_tessera(tmp_path / name / "2024", LON, LAT, stored, scales)
        of_pixel = scales[row, col, None] if scales.ndim == 2 else scales[row, col]
        assert_array_equal(
            sampler(tmp_path / name).transform(points), stored[row, col].astype("f4") * of_pixel
        )


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_scale_0_nan_inf_is_missing(tmp_path, bad):
    stored, scales = tessera_tile(2)
    points, col, row = points_of_cell(60, 3)
    scales[row[:20], col[:20]] = bad
    write_tessera(tmp_path / "2024", LON, LAT, stored, scales)
    values = sampler(tmp_path).transform(points)
    lost = np.isin(row * 10_000 + col, row[:20] * 10_000 + col[:20])
    assert np.isnan(values[lost]).all()
    kept = row[~lost], col[~lost]
    assert_array_equal(values[~lost], stored[kept] * scales[kept][:, None])


def test_tile_absent_in_one_year(tmp_path):
    tile = tessera_tile(3)
    write_tessera(tmp_path / "2023", LON, LAT, *tile)
    (tmp_path / "2024" / "grid_0.05_0.05").mkdir(parents=True)
    points, _, _ = points_of_cell(5, 4)
    values, info = sampler(TesseraSource(tmp_path), year=[2023, 2024]).sample(
        points, return_info=True
    )
    assert np.isfinite(values[:, :128]).all()
    assert np.isnan(values[:, 128:]).all()
    assert (info.reason_2023 == "ok").all()
    assert (info.reason_2024 == "no_year").all()


def test_file_missing_though_registered(seam, seam_points, tmp_path):
    index = write_index(seam, "parquet", tmp_path)  # no file lies below its folder
    source = AlphaEarthSource(index, root=tmp_path)
    with pytest.warns(CoverageWarning, match="should be there are not"):
        values, info = EmbeddingRasterSampler(source, year=2022).sample(
            seam_points, return_info=True
        )
    assert np.isnan(values).all()
    assert set(info.reason) == {"no_coverage"}
    assert info.file.dropna().str.endswith(".tiff").all()


def test_no_landmask(tmp_path):
    tile = tessera_tile(4)
    write_tessera(tmp_path / "with" / "2024", LON, LAT, *tile, landmask_folder=tmp_path / "land")
    write_tessera(tmp_path / "without" / "2024", LON, LAT, *tile)
    points, col, row = points_of_cell(50, 5)
    expected = tile[0][row, col].astype(np.float32) * tile[1][row, col, None]
    for name in ("with", "without"):
        assert_array_equal(sampler(TesseraSource(tmp_path / name)).transform(points), expected)


@pytest.mark.filterwarnings("ignore")  # of the peer and of what it imports
def test_values_equal_to_geotessera_bit_for_bit_where_it_has_data(tmp_path):
    geotessera = pytest.importorskip("geotessera")
    rows = []
    for seed, (lon, lat) in enumerate([(10.05, 87.05), (10.15, 87.05), (-30.05, 86.95)]):
        stored, scales = tessera_tile(seed, lon, lat)
        if seed == 2:
            scales = np.random.default_rng(9).uniform(0.01, 0.3, stored.shape).astype(np.float32)
        write_tessera(
            tmp_path / TILES / "2024",
            lon,
            lat,
            stored,
            scales,
            landmask_folder=tmp_path / LANDMASKS,
        )
        rows.append((lat, lon, 2024))
    frame = pd.DataFrame(rows, columns=["lat", "lon", "year"])
    frame["hash"] = frame["scales_hash"] = "0" * 64
    frame["file_size"] = frame["scales_size"] = 1
    frame["mtime"] = 0
    frame["lon_i"] = np.rint(frame.lon * 100).astype(np.int32)
    frame["lat_i"] = np.rint(frame.lat * 100).astype(np.int32)
    registry = gpd.GeoDataFrame(
        frame, geometry=gpd.points_from_xy(frame.lon, frame.lat), crs="EPSG:4326"
    )
    registry.to_parquet(tmp_path / "registry.parquet")
    registry.drop(columns=["year", "scales_hash", "scales_size", "mtime"]).to_parquet(
        tmp_path / "landmasks.parquet"
    )
    rng = np.random.default_rng(0)
    points = np.concatenate(
        [
            np.column_stack([rng.uniform(10.0, 10.2, 300), rng.uniform(87.0, 87.1, 300)]),
            np.column_stack([rng.uniform(-30.1, -30.0, 100), rng.uniform(86.9, 87.0, 100)]),
            [[50.0, 50.0]],
        ]
    )
    reader = geotessera.GeoTessera(
        embeddings_dir=tmp_path,
        registry_dir=tmp_path,
        cache_dir=tmp_path / "cache",
        verify_hashes=False,
    )
    theirs = reader.sample_embeddings_at_points(
        [tuple(point) for point in points.tolist()], year=2024, auto_download=False
    )
    ours = sampler(TesseraSource(tmp_path), year=2024).transform(points)
    assert_array_equal(ours, theirs)
    assert np.isfinite(ours).all(axis=1).sum() > 390


def test_each_block_decoded_once(seam, seam_points, reads):
    source = AlphaEarthSource(seam.root)
    sampler(source, year=[2022, 2023]).transform(np.concatenate([seam_points, seam_points[::-1]]))
    planes = block_planes(reads, 16)
    assert len(planes) == len(set(planes)) > 64


def test_a_64_mib_block_set_never_exceeds_its_memory_budget(tmp_path):
    path = tmp_path / "large.tiff"
    profile = {
        "driver": "GTiff", "width": 2048, "height": 1024, "count": 64, "dtype": "int8",
        "crs": "EPSG:32632", "transform": Affine(10, 0, 500_000, 0, 10, 5_300_000),
        "nodata": -128, "interleave": "band", "tiled": True, "blockxsize": 1024,
        "blockysize": 1024, "compress": "zstd",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        for band in range(64):
            file.write(np.full((1024, 2048), band - 20, dtype=np.int8), band + 1)
    points, _, _ = random_pixels(500, 1024, 2048, profile["transform"], seed=8)
    code = (
        "import resource, sys, numpy as np; from geofeat import EmbeddingRasterSampler as S, "
        "AlphaEarthSource as A; s = S(A(sys.argv[1]), progress=False); "
        "X = np.load(sys.argv[2]); s.transform(X[:1]); "
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; before = peak(); "
        "s.transform(X); print(before, peak())"
    )
    np.save(tmp_path / "points.npy", points)
    before, after = map(int, run_python(code, path, tmp_path / "points.npy").split())
    # One block set a thread, once more for GDAL's own cache of decoded blocks.
    assert (after - before) * 1024 <= 2 * 2**26 * usable_threads()


def run_python(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=120,
    )
    return done.stdout


def test_pickling_clone_n_jobs_2_and_threads(field):
    path, stored, transform = field
    points, row, col = random_pixels(200, SIZE, SIZE, transform, seed=9)
    whole = ~(stored[0, row, col] == -128)
    points, expected = points[whole], alphaearth_values(stored[:, row, col]).T[whole]
    one = sampler(AlphaEarthSource(path)).fit(points)
    for twin in (clone(one), pickle.loads(pickle.dumps(one))):
        assert_array_equal(twin.transform(points), expected)
    with ThreadPoolExecutor(8) as pool:
        for values in pool.map(one.transform, [points] * 16):
            assert_array_equal(values, expected)
    model = make_pipeline(one, KNeighborsClassifier(1))
    target = (expected[:, 0] > 0).astype(int)
    alone, together = (cross_val_score(model, points, target, cv=3, n_jobs=jobs) for jobs in (1, 2))
    assert_array_equal(alone, together)


def test_bands_reads_only_those_planes(field, reads):
    path, stored, transform = field
    points, row, col = random_pixels(50, SIZE, SIZE, transform, seed=10)
    values = sampler(AlphaEarthSource(path), bands=["A07", 3, "A63"]).transform(points)
    assert_array_equal(values, alphaearth_values(stored[[7, 3, 63]][:, row, col]).T)
    assert {band for *_, band in block_planes(reads, 16)} == {8, 4, 64}


def test_bilinear_at_a_pixel_centre_equals_nearest(field):
    path, _, transform = field
    rng = np.random.default_rng(11)
    col, row = rng.integers(1, SIZE - 1, (2, 200))
    points = pixel_centres(transform, 32632, col, row)
    nearest = sampler(path).transform(points)
    # The way through degrees moves a centre by 1e-9 pixels.
    assert_allclose(sampler(path, method="bilinear").transform(points), nearest, atol=1e-6)


def test_bilinear_beside_nodata_uses_valid_neighbours_only(field):
    path, stored, transform = field
    a, b = 33.3, 22.0  # between column 32, which is empty, and column 33
    points = to_lonlat(*place_of(transform, np.array([a]), np.array([b])), 32632)
    value = sampler(path, method="bilinear").transform(points)[0]
    decoded = alphaearth_values(stored)
    right = 0.5 * decoded[:, 21, 33] + 0.5 * decoded[:, 22, 33]
    assert_allclose(value, right, atol=1e-6)


def test_window_and_polygon_means_against_brute_force(field):
    path, stored, transform = field
    decoded = alphaearth_values(stored).astype(np.float64)
    points, row, col = random_pixels(60, SIZE, SIZE, transform, seed=12)
    values = sampler(path, window=5).transform(points)
    for value, i, j in zip(values, row, col, strict=True):
        near = decoded[:, max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3].reshape(64, -1)
        assert_allclose(value, np.nanmean(near, axis=1), rtol=1e-5, atol=1e-6)
    ring = np.array([[12.3, 15.2], [40.1, 18.9], [36.7, 30.4], [20.2, 33.3]])  # over the hole
    x, y = place_of(transform, *ring.T)
    area = gpd.GeoSeries([shapely.Polygon(np.column_stack([x, y]))], crs=32632)
    weights = np.array(
        [
            [shapely.box(j, i, j + 1, i + 1).intersection(shapely.Polygon(ring)).area
             for j in range(SIZE)] for i in range(SIZE)
        ]
    )  # fmt: skip
    weights = np.where(np.isnan(decoded[0]), 0, weights)
    expected = (np.nan_to_num(decoded) * weights).sum(axis=(1, 2)) / weights.sum()
    mean = sampler(path, zonal="mean").transform(area)
    assert_allclose(mean[0], expected, rtol=1e-5, atol=1e-6)


def test_feature_names(field, seam, tmp_path):
    path, _, transform = field
    points, _, _ = random_pixels(5, SIZE, SIZE, transform, seed=13)
    names = [f"A{band:02d}" for band in range(64)]
    assert sampler(path).get_feature_names_out().tolist() == names
    two = sampler(AlphaEarthSource(seam.root), year=[2022, 2023]).get_feature_names_out()
    assert two.tolist() == [f"{name}_{year}" for year in (2022, 2023) for name in names]
    write_tessera(tmp_path / "2024", LON, LAT, *tessera_tile(5))
    tessera = sampler(TesseraSource(tmp_path), bands=[0, 127]).get_feature_names_out()
    assert tessera.tolist() == ["tessera_000", "tessera_127"]
    assert sampler(RasterSource(path)).fit(points).get_feature_names_out().tolist() == names


def test_pandas_output(field):
    path, _, transform = field
    points, _, _ = random_pixels(5, SIZE, SIZE, transform, seed=14)
    frame = pd.DataFrame(points, columns=["lon", "lat"], index=list("vwxyz"))
    table = sampler(path).set_output(transform="pandas").fit_transform(frame)
    assert table.index.tolist() == list("vwxyz")
    assert table.columns.tolist() == [f"A{band:02d}" for band in range(64)]
    assert_array_equal(table.to_numpy(), sampler(path).transform(points))


def test_no_network_for_local_files(field, seam, monkeypatch):
    def refuse(*arguments, **keywords):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    path, _, transform = field
    points, _, _ = random_pixels(5, SIZE, SIZE, transform, seed=15)
    assert np.isfinite(sampler(path).transform(points)).any()
    centre = [[12.0001, 47.0]]
    assert np.isfinite(sampler(AlphaEarthSource(seam.root), year=2022).transform(centre)).all()
