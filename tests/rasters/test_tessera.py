"""TESSERA tiles: layouts, which tile and pixel, missing values, and the producer's own reader."""

import math
import os
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from affine import Affine
from numpy.testing import assert_array_equal

from geofeat import EmbeddingRasterSampler, TesseraSource
from geofeat.exceptions import (
    CorruptFileError,
    CoverageWarning,
    RasterMismatchError,
    SourceError,
    UnsafeFileError,
)
from geofeat.rasters._sink import PixelSink
from tests.rasters.writers import (
    from_lonlat,
    pixel_of,
    place_of,
    tessera_geometry,
    to_lonlat,
    write_raster,
    write_tessera,
)

TILES = "global_0.1_degree_representation"
LANDMASKS = "global_0.1_degree_tiff_all"
# High up a cell is narrow, so that tiles stay small: 1120 rows, about 60 columns.
LON, LAT = 10.05, 87.05


def sampler(source, **parameters):
    return EmbeddingRasterSampler(source, **{"on_missing": "nan", "progress": False, **parameters})


def make_tile(seed, lon=LON, lat=LAT, *, three_d=False):
    _, _, height, width = tessera_geometry(lon, lat)
    rng = np.random.default_rng(seed)
    stored = rng.integers(-127, 128, (height, width, 128), dtype=np.int8)
    shape = stored.shape if three_d else stored.shape[:2]
    return stored, rng.uniform(0.01, 0.3, shape).astype(np.float32)


def points_in_tile(n, seed, lon=LON, lat=LAT):
    """Points of the cell that lie clear of the edges of pixels, with their column and row."""
    epsg, transform, height, width = tessera_geometry(lon, lat)
    rng = np.random.default_rng(seed)
    col, row = rng.integers(0, width, 20 * n), rng.integers(0, height, 20 * n)
    a, b = col + rng.uniform(0.05, 0.95, col.size), row + rng.uniform(0.05, 0.95, row.size)
    points = to_lonlat(*place_of(transform, a, b), epsg)
    inside = (np.floor(points * 10) == [math.floor(lon * 10), math.floor(lat * 10)]).all(axis=1)
    kept = np.flatnonzero(inside)[:n]
    assert kept.size == n
    return points[kept], col[kept], row[kept]


@pytest.fixture(scope="module")
def tile():
    return make_tile(1)


@pytest.fixture(scope="module")
def root(tile, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tessera")
    write_tessera(folder / TILES / "2024", LON, LAT, *tile, landmask_folder=folder / LANDMASKS)
    return folder


def test_values_are_the_stored_numbers_times_the_scale(root, tile):
    stored, scales = tile
    points, col, row = points_in_tile(300, seed=2)
    values, info = sampler(TesseraSource(root)).sample(points, return_info=True)
    assert values.dtype == np.float32
    assert_array_equal(values, stored[row, col].astype(np.float32) * scales[row, col, None])
    assert_array_equal(info.row, row)
    assert_array_equal(info.col, col)
    assert (info.file.astype(str).str.endswith(f"grid_{LON}_{LAT}.npy")).all()
    picked = sampler(root, bands=["tessera_127", 3])
    assert_array_equal(picked.transform(points), values[:, [127, 3]])


def test_scales_of_each_band(tmp_path):
    stored, scales = make_tile(2, three_d=True)
    write_tessera(tmp_path / TILES / "2024", LON, LAT, stored, scales)
    points, col, row = points_in_tile(100, seed=3)
    expected = stored[row, col].astype(np.float32) * scales[row, col]
    assert_array_equal(sampler(tmp_path).transform(points), expected)


@pytest.mark.parametrize(
    ("place", "landmasks", "opened", "release"),
    [
        (TILES, LANDMASKS, ".", "v1"),
        (TILES, None, ".", "v1"),
        (TILES, LANDMASKS, TILES, "v1"),
        (f"v1/{TILES}", f"v1/{LANDMASKS}", ".", "v1"),
        (f"v1/{TILES}", f"v1/{LANDMASKS}", "v1", "v1"),
        ("npy/v1", "landmasks/v1", ".", "v1"),
        ("npy/v1.1-cam", "landmasks/v1", "npy", "v1.1-cam"),
        ("npy/v2-2B-L~beta1", None, "npy/v2-2B-L~beta1", "v2-2B-L~beta1"),
        ("tiles", None, "tiles", None),
    ],
)
def test_every_layout_of_the_folder_is_found(tmp_path, tile, place, landmasks, opened, release):
    masks = None if landmasks is None else tmp_path / landmasks
    write_tessera(tmp_path / place / "2023", LON, LAT, *tile, landmask_folder=masks)
    source = TesseraSource(tmp_path / opened)
    points, col, row = points_in_tile(50, seed=4)
    expected = tile[0][row, col].astype(np.float32) * tile[1][row, col, None]
    assert_array_equal(sampler(source).transform(points), expected)
    assert source.years == (2023,)
    assert source.found_release == release
    found = source._folder()
    assert (found.landmasks is None) == (masks is None)
    assert_array_equal(sampler(str(tmp_path / opened)).transform(points), expected)


def test_releases_are_never_mixed(tmp_path, tile):
    other = make_tile(9)
    write_tessera(tmp_path / "npy" / "v1" / "2024", LON, LAT, *tile)
    write_tessera(tmp_path / "npy" / "v1.1-cam" / "2024", LON, LAT, *other)
    points, col, row = points_in_tile(10, seed=5)
    with pytest.raises(RasterMismatchError, match=r"v1, v1\.1-cam"):
        sampler(TesseraSource(tmp_path)).transform(points)
    chosen = sampler(TesseraSource(tmp_path, release="v1.1-cam")).transform(points)
    assert_array_equal(chosen, other[0][row, col].astype(np.float32) * other[1][row, col, None])
    with pytest.raises(SourceError, match="no release 'v2'"):
        sampler(TesseraSource(tmp_path, release="v2")).transform(points)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, -0.1])
def test_bad_scales_are_missing_not_numbers(tmp_path, tile, bad):
    stored, scales = tile[0], tile[1].copy()
    points, col, row = points_in_tile(60, seed=6)
    scales[row[:20], col[:20]] = bad
    lost = np.isin(row * 10_000 + col, (row * 10_000 + col)[:20])
    land = np.ones(scales.shape, np.uint8)
    land[row[:10], col[:10]] = 0
    write_tessera(
        tmp_path / TILES / "2024",
        LON,
        LAT,
        stored,
        scales,
        landmask_folder=tmp_path / LANDMASKS,
        land=land,
    )
    values, info = sampler(tmp_path).sample(points, return_info=True)
    assert_array_equal(np.isnan(values).all(axis=1), lost)
    assert np.isfinite(values[~lost]).all()
    assert_array_equal(info.reason == "water", lost & (land[row, col] == 0))
    assert_array_equal(info.reason == "nodata", lost & (land[row, col] == 1))
    with pytest.warns(CoverageWarning, match=r"\d+ nodata, 10 water"):
        sampler(tmp_path, on_missing="warn").transform(points)


def test_one_bad_scale_of_many_bands_follows_missing(tmp_path):
    stored, scales = make_tile(3, three_d=True)
    points, col, row = points_in_tile(5, seed=7)
    scales[row[0], col[0], 17] = np.nan
    write_tessera(tmp_path / TILES / "2024", LON, LAT, stored, scales)
    assert np.isnan(sampler(tmp_path).transform(points)[0]).all()
    partly = sampler(tmp_path, missing="all").transform(points)[0]
    assert_array_equal(np.flatnonzero(np.isnan(partly)), [17])


def test_corrupt_magnitudes_are_caught_on_request_and_the_tile_is_named(tmp_path, tile):
    stored, scales = tile[0], tile[1].copy()
    points, col, row = points_in_tile(30, seed=8)
    scales[row[0], col[0]] = 5e4
    write_tessera(tmp_path / TILES / "2024", LON, LAT, stored, scales)
    assert np.abs(sampler(tmp_path).transform(points)[0]).max() > 1e5
    with pytest.warns(CoverageWarning, match=r"beyond max_abs in .*grid_10.05_87.05"):
        values = sampler(TesseraSource(tmp_path, max_abs=1e3)).transform(points)
    assert np.isnan(values[0]).all()
    assert np.isfinite(values[1:]).all()


def test_cells_around_the_origin_and_the_antimeridian(tmp_path):
    """West and south edges belong to a cell; zones and hemispheres follow the cell's centre."""
    tiles = {}
    centres = [(lon, lat) for lon in (-0.05, 0.05) for lat in (85.05, 85.15)] + [
        (179.95, 85.05),
        (-179.95, 85.05),
    ]
    for seed, (lon, lat) in enumerate(centres):
        tiles[lon, lat] = make_tile(seed, lon, lat)
        write_tessera(tmp_path / "2024", lon, lat, *tiles[lon, lat])
    rng = np.random.default_rng(1)
    lon = np.concatenate(
        [rng.uniform(-0.1, 0.1, 80), rng.uniform(179.9, 180.1, 40), [180.0, -180.0]]
    )
    lat = np.concatenate([rng.uniform(85.0, 85.2, 80), rng.uniform(85.0, 85.1, 42)])
    lat[-1] = lat[-2] = 85.0333
    points = np.column_stack([lon, lat])
    values, info = sampler(tmp_path).sample(points, return_info=True)
    for i, (x_lon, y_lat) in enumerate(points):
        wrapped = -180 + (x_lon + 180) % 360
        centre = tuple(round(math.floor(c * 10) / 10 + 0.05, 2) for c in (wrapped, y_lat))
        epsg, transform, height, width = tessera_geometry(*centre)
        col, row = pixel_of(transform, *from_lonlat(wrapped, y_lat, epsg))
        stored, scales = tiles[centre]
        if not (0 <= col < width and 0 <= row < height):
            assert info.reason[i] == "outside"
            continue
        assert_array_equal(values[i], stored[row, col].astype(np.float32) * scales[row, col])
    assert (info.reason == "ok").sum() > 115
    assert_array_equal(values[-1], values[-2])
    assert_array_equal(sampler(tmp_path).transform(points - [360, 0]), values)


def test_hemispheres_meet_at_the_equator(tmp_path):
    """Small windows of big tiles: the files are sparse, only the pixels asked for are written."""
    values = {}
    for lat in (-0.05, 0.05):
        epsg, transform, height, width = tessera_geometry(0.05, lat)
        point = np.array([[0.0503, math.copysign(0.0007, lat)]])
        col, row = pixel_of(transform, *from_lonlat(*point[0], epsg))
        folder = tmp_path / "2024" / f"grid_0.05_{lat:.2f}"
        folder.mkdir(parents=True)
        name = f"grid_0.05_{lat:.2f}"
        stored = np.lib.format.open_memmap(
            folder / f"{name}.npy", "w+", np.int8, (height, width, 128)
        )
        scales = np.lib.format.open_memmap(
            folder / f"{name}_scales.npy", "w+", np.float32, (height, width)
        )
        stored[row, col] = np.arange(128) - 60
        scales[row, col] = 0.5 if lat > 0 else 0.25
        stored.flush()
        scales.flush()
        values[lat] = sampler(tmp_path).transform(point)[0]
        expected = (np.arange(128, dtype=np.float32) - 60) * np.float32(0.5 if lat > 0 else 0.25)
        assert_array_equal(values[lat], expected)


def test_a_point_from_a_large_tile_does_not_load_the_tile(tmp_path):
    """1000 points from more than 100 MB of numbers allocate little besides the output."""
    lon, lat = 0.05, 52.05
    _, _, height, width = tessera_geometry(lon, lat)
    name = f"grid_{lon:.2f}_{lat:.2f}"
    folder = tmp_path / "2024" / name
    folder.mkdir(parents=True)
    np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.int8, (height, width, 128)).flush()
    scales = np.full((height, width), 0.5, np.float32)
    np.save(folder / f"{name}_scales.npy", scales)
    assert (folder / f"{name}.npy").stat().st_size > 98e6
    points, _, _ = points_in_tile(1000, seed=1, lon=lon, lat=lat)
    task = sampler(tmp_path)
    task.transform(points[:10])  # compiles
    tracemalloc.start()
    values = task.transform(points)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert_array_equal(values, np.zeros((1000, 128), np.float32))
    assert peak < values.nbytes + 5e6
    report = task.coverage(points)
    assert report["bytes"].iloc[0] <= 1000 * 132


def test_absent_years_places_and_registered_files(root, tmp_path, tile):
    write_tessera(tmp_path / TILES / "2023", LON, LAT, *tile)
    write_tessera(tmp_path / TILES / "2024", LON + 1, LAT, *make_tile(5, LON + 1))
    points = np.array([[LON, LAT], [LON + 1, LAT], [50.05, 20.05], [np.nan, 5.0], [LON, LAT + 0.1]])
    source = TesseraSource(tmp_path)
    values, info = sampler(source, year=2024).sample(points, return_info=True)
    assert info.reason.tolist() == ["no_year", "ok", "no_coverage", "bad_coordinate", "no_coverage"]
    pd.DataFrame(
        {
            "lon_i": np.array([1005, 1005], np.int32),
            "lat_i": np.array([8705, 8715], np.int32),
            "lon": [LON, LON],
            "lat": [LAT, LAT + 0.1],
            "year": [2024, 2024],
        }
    ).to_parquet(tmp_path / "registry.parquet")
    with pytest.warns(CoverageWarning, match=r"2 file\(s\) that should be there.*grid_10.05_87.05"):
        values, info = sampler(TesseraSource(tmp_path), year=2024).sample(points, return_info=True)
    assert info.reason.tolist()[0] == "no_coverage"
    assert str(info.file[0]).endswith(f"2024/grid_{LON}_{LAT}/grid_{LON}_{LAT}.npy")
    assert np.isfinite(values[1]).all()
    (tmp_path / TILES / "2024" / "grid_11.05_87.05" / "grid_11.05_87.05_scales.npy").unlink()
    with pytest.raises(SourceError, match=r"_scales\.npy"):
        sampler(TesseraSource(tmp_path), year=2024, on_missing="raise").transform(points[1:2])


def test_damaged_tiles_are_named(tmp_path, tile):
    stored, scales = tile
    points, _, _ = points_in_tile(5, seed=9)
    place = tmp_path / TILES / "2024"
    path = write_tessera(place, LON, LAT, stored, scales)
    whole = path.read_bytes()
    cases = [
        (whole[:-1000], CorruptFileError, "truncated"),
        (whole + b"x", CorruptFileError, "header announces"),
        (b"not an array", CorruptFileError, "no readable"),
    ]
    for content, error, words in cases:
        path.write_bytes(content)
        with pytest.raises(error, match=words) as caught:
            sampler(tmp_path).transform(points)
        assert str(path) in str(caught.value)
    np.save(path, stored.astype(np.int16))
    with pytest.raises(CorruptFileError, match="int16"):
        sampler(tmp_path).transform(points)
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(UnsafeFileError, match="Python objects"):
        sampler(tmp_path).transform(points)
    np.save(path, np.asfortranarray(stored))
    with pytest.raises(CorruptFileError, match="Fortran"):
        sampler(tmp_path).transform(points)
    np.save(path, stored[:-1])
    with pytest.raises(CorruptFileError, match="shape"):
        sampler(tmp_path).transform(points)
    np.save(path.with_name(f"{path.stem}_scales.npy"), scales[:-1])
    with pytest.raises(CorruptFileError, match="the tile's cell has"):
        sampler(tmp_path).transform(points)
    np.save(path, stored[..., :64])
    np.save(path.with_name(f"{path.stem}_scales.npy"), scales)
    with pytest.raises(RasterMismatchError, match="64 bands"):
        sampler(tmp_path).transform(points)


def test_products_that_overflow_are_missing(tmp_path, tile):
    stored, scales = tile[0].copy(), tile[1].copy()
    points, col, row = points_in_tile(20, seed=10)
    stored[row[0], col[0]] = 1
    stored[row[0], col[0], 5] = 127
    scales[row[0], col[0]] = 3e38
    lost = (row == row[0]) & (col == col[0])
    write_tessera(tmp_path / TILES / "2024", LON, LAT, stored, scales)
    with pytest.warns(CoverageWarning, match="nodata"):
        values, info = sampler(tmp_path, on_missing="warn").sample(points, return_info=True)
    assert np.isnan(values[lost]).all()
    assert (info.reason[lost] == "nodata").all()
    assert np.isfinite(values[~lost]).all()
    partly = sampler(tmp_path, missing="all").transform(points)[0]
    assert_array_equal(np.flatnonzero(np.isnan(partly)), [5])


@pytest.mark.parametrize("suffix", ["", "_scales"])
@pytest.mark.parametrize("moment", ["locate", "read"])
def test_a_tile_that_changes_before_or_while_it_is_read_is_an_error(
    tmp_path, tile, monkeypatch, suffix, moment
):
    first = write_tessera(tmp_path / TILES / "2024", LON, LAT, *tile)
    path = first.with_name(f"{first.stem}{suffix}.npy")
    points, _, _ = points_in_tile(5, seed=11)
    owner, name = {"locate": (TesseraSource, "locate"), "read": (PixelSink, "put_scaled")}[moment]
    original = getattr(owner, name)

    def call_then_touch(*arguments):
        result = original(*arguments)
        os.utime(path, ns=(1, 1))
        return result

    monkeypatch.setattr(owner, name, call_then_touch)
    with pytest.raises(SourceError, match="has changed") as caught:
        sampler(tmp_path).transform(points)
    assert caught.value.path == str(path)


@pytest.mark.parametrize(
    ("change", "zone", "right"),
    [
        (Affine.translation(0.4, -0.4), 0, True),
        (Affine.translation(0, 0.6), 0, False),
        (Affine.scale(1.2), 0, False),
        (Affine.identity(), 1, False),
    ],
)
def test_landmasks_elsewhere_are_not_believed(tmp_path, tile, change, zone, right):
    """Half a pixel of shift is allowed, changes are in pixels."""
    write_tessera(tmp_path / TILES / "2024", LON, LAT, *tile)
    epsg, transform, height, width = tessera_geometry(LON, LAT)
    path = tmp_path / LANDMASKS / f"grid_{LON:.2f}_{LAT:.2f}.tiff"
    land = np.ones((1, height, width), np.uint8)
    write_raster(path, land, crs=f"EPSG:{epsg + zone}", transform=transform @ change)
    points, _, _ = points_in_tile(5, seed=13)
    if right:
        assert np.isfinite(sampler(tmp_path).transform(points)).any()
        return
    with pytest.raises(CorruptFileError, match="is a landmask in EPSG") as caught:
        sampler(tmp_path).transform(points)
    assert caught.value.path == str(path)


def test_the_longest_version_of_the_landmasks_is_taken(tmp_path, tile):
    write_tessera(tmp_path / "npy" / "v1.1-cam" / "2024", LON, LAT, *tile)
    for version in ("v", "v1", "v1.1", "v1.1-c", "v1.10"):
        (tmp_path / "landmasks" / version).mkdir(parents=True)
    assert TesseraSource(tmp_path)._folder().landmasks == tmp_path / "landmasks" / "v1.1"


def test_a_manifest_speaks_of_its_own_releases(tmp_path, tile):
    """A tile of another release is not missed; a folder without a name has the manifest's."""
    for place in ("a/npy/v1/2024", "b/tiles/2024"):
        write_tessera(tmp_path / place, LON, LAT, *tile)
    points = [[LON + 1, LAT], [LON + 2, LAT]]
    manifest = pd.DataFrame(
        {
            "version": ["1.1", "1.0"],
            "variant": ["cambridge", "vultr"],
            "lon": [LON + 1, LON + 2],
            "lat": [LAT, LAT],
            "year": [2024, 2024],
        }
    )
    manifest.to_parquet(tmp_path / "a" / "manifest.parquet")
    with pytest.warns(CoverageWarning, match=r"1 file\(s\) that should be there.*grid_12.05"):
        sampler(tmp_path / "a").transform(points)
    manifest.to_parquet(tmp_path / "b" / "manifest.parquet")
    nameless = TesseraSource(tmp_path / "b" / "tiles")
    assert nameless.found_release is None
    assert np.isnan(sampler(nameless).transform(points)).all()
    named = TesseraSource(tmp_path / "b" / "tiles", release="v1.1-cam")
    assert named.found_release == "v1.1-cam"
    with pytest.warns(CoverageWarning, match=r"grid_11.05"):
        sampler(named).transform(points)
    manifest[:1].to_parquet(tmp_path / "b" / "manifest.parquet")
    assert TesseraSource(tmp_path / "b" / "tiles").found_release == "v1.1-cam"
    manifest.assign(lat=[LAT, np.nan]).to_parquet(tmp_path / "a" / "manifest.parquet")
    with pytest.raises(CorruptFileError, match="without a place"):
        sampler(tmp_path / "a").transform(points)
