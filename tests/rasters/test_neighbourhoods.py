"""Bilinear values and statistics around points against sums taken pixel by pixel."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr
from affine import Affine
from numpy.testing import assert_allclose, assert_array_equal

from geofeat import (
    AlphaEarthSource,
    ArraySource,
    EmbeddingRasterSampler,
    RasterSource,
    TesseraSource,
)
from geofeat.exceptions import CoverageWarning, LimitError
from geofeat.rasters import _neighbourhoods
from tests.rasters.conftest import SEAM, SIZE, block_planes
from tests.rasters.writers import (
    alphaearth_values,
    from_lonlat,
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

METHODS = [
    {"method": "bilinear"},
    {"window": 5},
    {"window": 3, "statistic": "std"},
    {"window": 3, "statistic": "median"},
    {"radius": 27.0},
    {"radius": 35.0, "statistic": "median"},
]
GRID = Affine(10, 0, 500_000, 0, -10, 5_300_000)


def sampler(source, **parameters):
    return EmbeddingRasterSampler(source, **{"on_missing": "nan", "progress": False, **parameters})


def around(a, b, method=None, window=None, radius=None, size=10.0):
    """Column, row and weight of the pixels around a fractional position."""
    if method == "bilinear":
        left, top = int(np.floor(a - 0.5)), int(np.floor(b - 0.5))
        for i in (0, 1):
            for j in (0, 1):
                yield (
                    left + j,
                    top + i,
                    abs(1 - j - (a - 0.5 - left)) * abs(1 - i - (b - 0.5 - top)),
                )
        return
    half = window // 2 if window else int(radius // size) + 1
    for row in range(int(b) - half, int(b) + half + 1):
        for col in range(int(a) - half, int(a) + half + 1):
            far = np.hypot(col + 0.5 - a, row + 0.5 - b) * size
            if window or far <= radius or (col, row) == (int(a), int(b)):
                yield col, row, 1.0


def reduced(values, weights, statistic="mean", **_):
    """One statistic of (k, bands) values; rows with a NaN count not at all."""
    known = ~np.isnan(values).any(axis=1)
    values, weights = values[known].astype(np.float64), weights[known]
    if not weights.sum() > 0:
        return np.full(values.shape[1], np.nan)
    if statistic == "median":
        return np.median(values, axis=0)
    if statistic == "std":
        return values.std(axis=0)
    return (values * weights[:, None]).sum(axis=0) / weights.sum()


def brute_force(positions, pixel, parameters):
    """Rows of values; ``pixel(col, row)`` gives a vector of NaN where there is none."""
    shape = {name: v for name, v in parameters.items() if name in ("method", "window", "radius")}
    rows = []
    for a, b in positions:
        cells = list(around(a, b, **shape))
        values = np.array([pixel(col, row) for col, row, _ in cells])
        rows.append(reduced(values, np.array([w for *_, w in cells]), **parameters))
    return np.array(rows)


def pixel_of(values):
    """Look pixels of (bands, height, width) up, NaN beyond."""

    def pixel(col, row):
        if 0 <= row < values.shape[1] and 0 <= col < values.shape[2]:
            return values[:, row, col]
        return np.full(values.shape[0], np.nan)

    return pixel


def field(seed=0, shape=(3, 60, 50)):
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    values[:, 20:26, 10:13] = -99
    return values


def positions_in(n, height, width, seed):
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [rng.uniform(0.01, width - 0.01, n), rng.uniform(0.01, height - 0.01, n)]
    )


def write_field(path, values, transform=GRID):
    return write_raster(path, values, crs="EPSG:32632", transform=transform, nodata=-99)


@pytest.mark.parametrize("parameters", METHODS, ids=str)
def test_a_file_in_one_piece_or_four_in_any_direction_equals_brute_force(
    tmp_path, parameters, reads, monkeypatch
):
    values = field()
    whole = write_field(tmp_path / "whole.tif", values)
    flipped = write_field(
        tmp_path / "flipped.tif", values[:, ::-1], Affine(10, 0, GRID.c, 0, 10, GRID.f - 600)
    )
    pieces = [
        write_field(
            tmp_path / f"{top}_{left}.tif",
            values[:, top : top + 30, left : left + 25],
            Affine(10, 0, GRID.c + 10 * left, 0, -10, GRID.f - 10 * top),
        )
        for top in (0, 30)
        for left in (0, 25)
    ]
    positions = positions_in(150, 60, 50, seed=1)
    points = to_lonlat(*place_of(GRID, *positions.T), 32632)
    truth = brute_force(positions, pixel_of(np.where(values == -99, np.nan, values)), parameters)
    assert np.isnan(truth[:, 0]).any() or parameters != {"method": "bilinear"}
    for source in (whole, flipped, RasterSource(pieces)):
        reads.clear()
        ours, info = sampler(source, **parameters).sample(points, return_info=True)
        assert_allclose(ours, truth, rtol=1e-5, atol=1e-6)
        assert_array_equal(info.reason == "ok", ~np.isnan(truth[:, 0]))
        planes = block_planes(reads, 16)
        assert len(planes) == len(set(planes))
    # In small parts, blocks may be read again; values stay.
    monkeypatch.setattr(_neighbourhoods, "_PIXELS_AT_ONCE", 200)
    assert_array_equal(sampler(RasterSource(pieces), **parameters).transform(points), ours)


@pytest.mark.parametrize("cell", [1, 16, 64])
@pytest.mark.parametrize("parameters", METHODS, ids=str)
def test_across_the_seam_neither_overhang_nor_the_other_zone_is_used(
    seam, tmp_path, parameters, cell, monkeypatch
):
    monkeypatch.setattr(_neighbourhoods, "_CELL", cell)
    source = AlphaEarthSource(write_index(seam, "parquet", tmp_path), root=seam.root)
    rng = np.random.default_rng(3)
    points = np.column_stack([SEAM + rng.uniform(-3e-4, 3e-4, 60), rng.uniform(46.998, 47.002, 60)])
    ours = sampler(source, year=2022, bands=[0, 5], **parameters).transform(points)
    for (lon, lat), value in zip(points, ours, strict=True):
        file = next(f for f in seam.files if f.year == 2022 and (f.zone == "32N") == (lon < SEAM))
        decoded = alphaearth_values(file.stored[[0, 5]])
        x, y = from_lonlat(lon, lat, file.epsg)

        def pixel(
            col,
            row,
            file=file,
            decoded=decoded,
            lon=lon,
            own=(int((x - file.west) // 10), int((y - file.south) // 10)),
        ):
            if (col, row) == own:
                return decoded[:, row, col]
            centre = to_lonlat(file.west + 10 * col + 5, file.south + 10 * row + 5, file.epsg)
            if (centre[..., 0].item() < SEAM) != (lon < SEAM):
                return np.full(2, np.nan)
            return decoded[:, row, col]

        position = ((x - file.west) / 10, (y - file.south) / 10)
        truth = brute_force([position], pixel, parameters)[0]
        assert_allclose(value, truth, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("parameters", METHODS, ids=str)
def test_tiles_of_tessera_and_arrays(tmp_path, parameters):
    lon, lat = 10.05, 87.05
    epsg, transform, height, width = tessera_geometry(lon, lat)
    rng = np.random.default_rng(0)
    stored = rng.integers(-127, 128, (height, width, 128), dtype=np.int8)
    scales = rng.uniform(0.01, 0.3, (height, width)).astype(np.float32)
    scales[rng.uniform(size=scales.shape) < 0.1] = 0
    write_tessera(tmp_path / "2024", lon, lat, stored, scales)
    values = (stored * scales[..., None])[..., [3, 100]].transpose(2, 0, 1)
    values[:, scales == 0] = np.nan
    positions = positions_in(80, height - 200, width - 20, seed=2) + np.array([10, 100])
    points = to_lonlat(*place_of(transform, *positions.T), epsg)
    inside = (np.abs(points - [lon, lat]) < 0.0495).all(axis=1)
    positions, points = positions[inside], points[inside]
    assert len(points) > 40
    truth = brute_force(positions, pixel_of(values), parameters)
    ours = sampler(TesseraSource(tmp_path), bands=[3, 100], **parameters).transform(points)
    assert_allclose(ours, truth, rtol=1e-5, atol=1e-5)
    array = xr.DataArray(
        values,
        coords={
            "band": ["a", "b"],
            "y": transform.f - 10 * (np.arange(height) + 0.5),
            "x": transform.c + 10 * (np.arange(width) + 0.5),
        },
        dims=("band", "y", "x"),
    )
    for form in (array, array.chunk(x=20, y=64)):
        ours = sampler(ArraySource(form, crs=epsg), **parameters).transform(points)
        assert_allclose(ours, truth, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("crs", "transform", "metres"),
    [
        (32632, Affine(8.660254, 10.0, 500_000, 5.0, -17.320508, 5_300_000), 1),
        (2263, Affine(32.8, 0, 980_000, 0, -32.8, 200_000), 1200 / 3937),
    ],
    ids=["rotated, of oblong pixels", "in feet"],
)
def test_metres_of_a_radius_on_other_grids(tmp_path, crs, transform, metres):
    values = np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32)
    path = write_raster(
        tmp_path / "a.tif", values[None], crs=f"EPSG:{crs}", transform=transform, nodata=-99
    )
    x, y = place_of(transform, *positions_in(50, 20, 20, seed=1).T + 6)
    row, col = np.mgrid[0:32, 0:32]
    centre_x, centre_y = place_of(transform, col + 0.5, row + 0.5)
    far = np.hypot(centre_x - x[:, None, None], centre_y - y[:, None, None]) * metres
    truth = [values[near].mean() for near in far <= 47.0]
    ours = sampler(path, radius=47.0).transform(to_lonlat(x, y, crs))
    assert_allclose(ours[:, 0], truth, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("tolerance", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("parameters", METHODS, ids=str)
def test_the_outermost_pixel_counts_once_whatever_the_tolerance(tmp_path, parameters, tolerance):
    """A point may lie beyond the edge; the pixels around it end there."""
    values = field(7)
    path = write_field(tmp_path / "field.tif", values)
    rng = np.random.default_rng(0)
    inside = np.column_stack([rng.uniform(0, 2, 20), rng.uniform(58, 60, 20)])
    beyond = inside * [0, 1] - rng.uniform(0.01, tolerance, 20)[:, None] * [1, 0]
    positions = np.concatenate([inside, beyond, [[50.0, 0.3], [49.5 + tolerance, 0.3]]])
    points = to_lonlat(*place_of(GRID, *positions.T), 32632)
    onto_edge = np.clip(positions, [0, 0], [50 - 1e-9, 60 - 1e-9])
    truth = brute_force(onto_edge, pixel_of(values), parameters)
    axes = {
        "y": GRID.f - 10 * (np.arange(60) + 0.5),
        "x": GRID.c + 10 * (np.arange(50) + 0.5),
    }
    array = xr.DataArray(values, coords=axes, dims=("band", "y", "x"))
    for source in (
        RasterSource(path, edge_tolerance=tolerance),
        ArraySource(array, crs=32632, nodata=-99, edge_tolerance=tolerance),
    ):
        ours = sampler(source, **parameters).transform(points)
        assert_allclose(ours, truth, rtol=1e-5, atol=1e-6)


def test_tiles_of_tessera_that_stop_short_of_their_cell(tmp_path):
    """With a tolerance, points behind the last row get values; its pixels count once."""
    lon, lat = 10.25, 87.05
    epsg, transform, height, width = tessera_geometry(lon, lat)
    stored = random_bytes(1, (height, width, 128))
    write_tessera(tmp_path / "2024", lon, lat, stored, np.ones((height, width), np.float32))
    points = np.column_stack([np.linspace(lon - 0.04, lon + 0.04, 50), np.full(50, 87.0 + 1e-7)])
    x, y = from_lonlat(*points.T, epsg)
    positions = np.column_stack([(x - transform.c) / 10, (transform.f - y) / 10])
    short = (positions[:, 1] > height) & (positions[:, 1] < height + 0.5)
    assert short.sum() > 5
    values = stored[..., :1].transpose(2, 0, 1).astype(np.float32)
    onto_edge = np.clip(positions[short], 0, [width, height - 1e-9])
    source = TesseraSource(tmp_path, edge_tolerance=0.5)
    for parameters in METHODS[:5]:  # 35 m is how far centres lie from the edge: a tie
        ours = sampler(source, bands=[0], **parameters).transform(points[short])
        truth = brute_force(onto_edge, pixel_of(values), parameters)
        assert_allclose(ours, truth, rtol=1e-5, atol=1e-5)


def test_the_pixel_of_a_point_counts_wherever_its_centre_lies(seam, tmp_path):
    """At the seam, the centre of a pixel may lie in the other zone than a point in it."""
    source = AlphaEarthSource(write_index(seam, "parquet", tmp_path), root=seam.root)
    file = next(f for f in seam.files if f.year == 2022 and f.zone == "32N")
    row = np.repeat(np.arange(SIZE), 100)
    col_at = np.tile(np.linspace(0, SIZE, 100, endpoint=False), SIZE) % SIZE
    col = col_at.astype(int)
    lonlat = to_lonlat(file.west + 10 * col_at, file.south + 10 * row + 5, 32632)
    centre = to_lonlat(file.west + 10 * col + 5, file.south + 10 * row + 5, 32632)
    points = lonlat[(lonlat[:, 0] < SEAM - 1e-7) & (centre[:, 0] >= SEAM + 1e-7)]
    assert len(points) > 10
    nearest = sampler(source, year=2022).transform(points)
    assert_allclose(sampler(source, year=2022, window=1).transform(points), nearest, rtol=1e-6)
    for parameters in METHODS:
        values = sampler(source, year=2022, strict=True, **parameters).transform(points)
        assert np.isfinite(values).all()


def test_bilinear_at_the_centre_of_a_pixel_is_that_pixel(tmp_path, reads):
    """Also where it is empty, and without a look into the block beside it."""
    values = field(5, (2, 32, 32))
    values[:, 4:9, 4:9] = -99
    path = write_field(tmp_path / "field.tif", values)
    row, col = np.mgrid[0:32, 0:32]
    points = to_lonlat(*place_of(GRID, col.ravel() + 0.5, row.ravel() + 0.5), 32632)
    ours = sampler(path, method="bilinear").transform(points)
    assert_array_equal(ours, np.where(values == -99, np.nan, values).reshape(2, -1).T)
    reads.clear()
    sampler(path, method="bilinear").transform(points[[15 * 32 + 15]])
    assert len(block_planes(reads, 16)) == 2


def test_a_centre_at_the_radius_belongs(tmp_path):
    values = field(6, (1, 32, 32))
    path = write_field(tmp_path / "field.tif", values)
    row, col = np.mgrid[10:15, 14:31]  # clear of the pixels without data
    points = to_lonlat(*place_of(GRID, col.ravel() + 0.5, row.ravel() + 0.5), 32632)
    ours = sampler(path, radius=10.0).transform(points).reshape(row.shape)
    cross = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)]
    expected = np.mean([values[0][row + i, col + j] for i, j in cross], axis=0)
    assert_allclose(ours, expected, rtol=1e-6, atol=1e-7)


def test_places_near_a_pole_cost_the_others_nothing(monkeypatch):
    """A radius reaches many columns there, and never more than half a turn."""
    lon, lat = np.arange(-179.5, 180), np.arange(89.5, -90, -1)
    array = xr.DataArray(
        np.random.default_rng(0).normal(size=(1, 180, 360)).astype(np.float32),
        coords={"band": ["v"], "lat": lat, "lon": lon},
        dims=("band", "lat", "lon"),
    )
    points = np.array([[0.3, 90.0], [10.2, 0.1], [-179.9, -89.97], [20.7, 50.2], [0.5, 89.5]])
    alone = [sampler(array, radius=150e3).transform(points[[i]])[0] for i in range(5)]
    monkeypatch.setattr(_neighbourhoods, "_PIXELS_AT_ONCE", 6000)
    together = sampler(array, radius=150e3).transform(points)
    assert_array_equal(together, alone)
    for (east, north), value in zip(points, together, strict=True):
        across = ((lon - east + 180) % 360 - 180) * np.cos(np.radians(north))
        far = np.hypot(across, lat[:, None] - north) * np.radians(6_371_008.8)
        assert_allclose(value, array.values[0][far <= 150e3].mean(), rtol=1e-5, atol=1e-6)


def test_a_missing_neighbour_that_an_index_names_is_told(seam, tmp_path):
    """Values beside it are made of fewer pixels: not without a word."""
    files = {}
    for i in range(2):
        stored = random_bytes(i, (64, SIZE, SIZE))
        path = tmp_path / "2024" / "32N" / f"x{i}-0000000000-0000000000.tiff"
        write_alphaearth(path, stored, epsg=32632, west=500_000 + 640 * i, south=5_300_000)
        files[i] = path, stored
    corners = [
        to_lonlat(
            500_000 + 640 * i + np.array([0.0, 640, 640, 0]),
            5_300_000 + np.array([0.0, 0, 640, 640]),
            32632,
        )
        for i in range(2)
    ]
    index = gpd.GeoDataFrame(
        {
            "path": [f"gs://a/2024/32N/{path.name}" for path, _ in files.values()],
            "year": 2024,
            "crs": "EPSG:32632",
            "utm_zone": "32N",
            **{
                f"wgs84_{side}": [getattr(c.T[axis], how)() for c in corners]
                for side, axis, how in (
                    ("west", 0, "min"),
                    ("south", 1, "min"),
                    ("east", 0, "max"),
                    ("north", 1, "max"),
                )
            },
        },
        geometry=[shapely.Polygon(c) for c in corners],
        crs="EPSG:4326",
    )
    index.to_parquet(tmp_path / "aef_index.parquet")
    files[1][0].unlink()
    point = to_lonlat(np.array([500_000 + 635.0]), np.array([5_300_305.0]), 32632)
    one = EmbeddingRasterSampler(AlphaEarthSource(tmp_path), year=2024, window=3, progress=False)
    with pytest.warns(CoverageWarning, match=r"1 file\(s\) that should be there are not: .*x1-"):
        value = one.transform(point)
    expected = alphaearth_values(files[0][1])[:, 29:32, 62:64].mean(axis=(1, 2))
    assert_allclose(value[0], expected, rtol=1e-5, atol=1e-6)
    inner = to_lonlat(np.array([500_305.0]), np.array([5_300_305.0]), 32632)
    assert np.isfinite(one.transform(inner)).all()


def test_metres_of_a_radius_in_degrees():
    lon, lat = np.arange(0, 1, 0.01), np.arange(60, 59, -0.01)
    array = xr.DataArray(
        np.arange(10_000.0).reshape(1, 100, 100),
        coords={"band": ["v"], "lat": lat, "lon": lon},
        dims=("band", "lat", "lon"),
    )
    from pyproj import Geod

    point = (0.503, 59.492)
    east, north = np.meshgrid(lon, lat)
    far = Geod(ellps="WGS84").inv(*np.broadcast_arrays(*point, east)[:2], east, north)[2]
    ordered = np.sort(far[far < 3_000])
    widest = np.argmax(np.diff(ordered)[5:]) + 5  # the sphere is off by 0.3 %
    assert ordered[widest + 1] - ordered[widest] > 0.01 * ordered[widest]
    radius = ordered[widest : widest + 2].mean()
    value = sampler(array, radius=radius).transform([point])
    assert_allclose(value[0, 0], array.values[0][far <= radius].mean(), rtol=1e-6)
    with pytest.raises(LimitError, match="pixels around a point"):
        sampler(array, radius=3e6).transform([[0.5, 89.9999], [0.5, 59.5]])


def test_min_valid_and_strict(tmp_path):
    path = write_field(tmp_path / "field.tif", field())
    positions = np.array([[13.5, 22.5], [9.5, 22.5], [12.5, 22.5], [30.5, 40.5], [0.5, 0.5]])
    points = to_lonlat(*place_of(GRID, *positions.T), 32632)
    # Valid shares of 3 x 3 pixels: six, six, three, all of nine, and four of nine at a corner.
    for min_valid, served in (
        (0.0, [True, True, True, True, True]),
        (0.4, [True, True, False, True, True]),
        (6 / 9, [True, True, False, True, False]),
        (1.0, [False, False, False, True, False]),
    ):
        for statistic in ("mean", "median"):
            values, info = sampler(path, window=3, min_valid=min_valid, statistic=statistic).sample(
                points, return_info=True
            )
            assert (info.reason == "ok").tolist() == served
            assert (~np.isnan(values).any(axis=1)).tolist() == served
    strict = sampler(path, window=3, strict=True).transform(points)
    assert np.isnan(strict[:, 0]).tolist() == [False, False, True, False, False]
    near = to_lonlat(*place_of(GRID, np.array([12.9]), np.array([22.5])), 32632)
    assert np.isfinite(sampler(path, method="bilinear").transform(near)).all()
    assert np.isnan(sampler(path, method="bilinear", strict=True).transform(near)).all()


def test_the_next_file_serves_where_a_neighbourhood_is_empty_and_mean_averages_all(tmp_path):
    hole = field(1)
    hole[:, 10:40, 10:40] = -99
    full = field(2)
    paths = [write_field(tmp_path / f"{i}.tif", v) for i, v in enumerate((hole, full))]
    positions = np.array([[25.3, 25.4], [5.2, 50.1]])
    points = to_lonlat(*place_of(GRID, *positions.T), 32632)
    known = [np.where(v == -99, np.nan, v) for v in (hole, full)]
    each = [brute_force(positions, pixel_of(v), {"window": 3}) for v in known]
    first = sampler(RasterSource(paths), window=3).transform(points)
    assert_allclose(first, [each[1][0], each[0][1]], rtol=1e-5, atol=1e-6)
    mean = sampler(RasterSource(paths, overlap="mean"), window=3).transform(points)
    assert_allclose(mean, [each[1][0], (each[0][1] + each[1][1]) / 2], rtol=1e-5, atol=1e-6)


def test_years_chunks_unit_length_and_missing_bands(seam, seam_points):
    source = AlphaEarthSource(seam.root)
    both = sampler(source, year=[2022, 2023], window=3).transform(seam_points)
    for i, year in enumerate((2022, 2023)):
        one = sampler(source, year=year, window=3)
        assert_array_equal(both[:, 64 * i : 64 * (i + 1)], one.transform(seam_points))
        chunks = one.transform_chunks(seam_points, chunk_rows=70)
        joined = np.concatenate([values.copy() for _, values in chunks])
        assert_array_equal(joined, one.transform(seam_points))
    unit = sampler(source, year=2022, window=3, normalize="l2").transform(seam_points)
    valid = np.isfinite(unit[:, 0])
    assert valid.sum() > 100
    assert_allclose(np.linalg.norm(unit[valid], axis=1), 1, atol=1e-6)
    assert_allclose(unit[valid] * np.linalg.norm(both[valid, :64], axis=1)[:, None],
                    both[valid, :64], atol=1e-6)  # fmt: skip


def test_missing_bands_of_a_pixel_count_alone_on_request(tmp_path):
    values = field(4, (2, 16, 16))
    values[0, 8, 8] = -99
    path = write_field(tmp_path / "field.tif", values)
    point = to_lonlat(*place_of(GRID, np.array([8.5]), np.array([8.5])), 32632)
    near = np.where(values == -99, np.nan, values)[:, 7:10, 7:10].reshape(2, 9)
    whole = near[:, ~np.isnan(near).any(axis=0)]
    for missing, expected in (("any", whole.mean(axis=1)), ("all", np.nanmean(near, axis=1))):
        ours = sampler(path, window=3, missing=missing).transform(point)[0]
        assert_allclose(ours, expected, rtol=1e-6)


def test_values_beyond_a_limit_are_missing_and_the_tile_is_named(tmp_path):
    lon, lat = 10.05, 87.05
    epsg, transform, height, width = tessera_geometry(lon, lat)
    stored = np.full((height, width, 128), 100, np.int8)
    scales = np.full((height, width), 0.01, np.float32)
    scales[500, 20] = 1e4
    write_tessera(tmp_path / "2024", lon, lat, stored, scales)
    # Four windows share the pixel, which counts once.
    row, col = np.array([500.5, 499.5, 501.2, 500.1]), np.array([20.5, 20.1, 19.5, 21.4])
    point = to_lonlat(*place_of(transform, col, row), epsg)
    one = EmbeddingRasterSampler(TesseraSource(tmp_path, max_abs=1e3), window=3, progress=False)
    with pytest.warns(CoverageWarning, match=r" 1 pixel\(s\) beyond max_abs in .*grid_10.05_87.05"):
        values = one.transform(point)
    assert_allclose(values, 1, rtol=1e-6)


@pytest.mark.parametrize("parameters", METHODS, ids=str)
def test_threads_change_no_bit(seam, seam_points, parameters, monkeypatch):
    one = sampler(AlphaEarthSource(seam.root), year=2022, **parameters)
    results = []
    for threads in (1, 3):
        monkeypatch.setattr("geofeat._threads.usable_threads", lambda n=threads: n)
        results.append(one.transform(seam_points))
    assert_array_equal(*results)


def test_coverage_counts_the_blocks_that_are_read(seam, seam_points, reads):
    for parameters in ({"method": "bilinear"}, {"window": 9}, {"radius": 60.0}):
        one = sampler(AlphaEarthSource(seam.root), year=2022, **parameters)
        report = one.coverage(seam_points).loc[2022]
        assert not reads
        one.transform(seam_points)
        assert report.blocks == len({plane[:3] for plane in block_planes(reads, 16)})
        assert report.files == 2
        assert report.bytes > 0
        reads.clear()


def test_longitude_180_and_minus_180_have_the_same_neighbours():
    lon = np.arange(-179.5, 180)
    array = xr.DataArray(
        np.random.default_rng(0).normal(size=(2, 20, 360)).astype(np.float32),
        coords={"band": ["a", "b"], "lat": np.arange(9.5, -10, -1), "lon": lon},
        dims=("band", "lat", "lon"),
    )
    for parameters in METHODS[:4]:
        values = sampler(array, **parameters).transform([[180.0, 3.2], [-180.0, 3.2]])
        assert_array_equal(values[0], values[1])
        assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"window": 4}, "odd"),
        ({"window": 3, "radius": 10.0}, "one of them"),
        ({"method": "bilinear", "window": 3}, "bilinear"),
        ({"statistic": "std"}, "needs window= or radius="),
        ({"strict": True}, "strict"),
        ({"min_valid": 0.5}, "min_valid"),
        ({"radius": -1.0}, "radius"),
        ({"window": 0}, "window"),
    ],
)
def test_parameters_without_a_meaning_are_refused(parameters, words):
    array = xr.DataArray(
        np.zeros((1, 2, 2)), coords={"band": ["a"], "lat": [1, 0], "lon": [0, 1]},
        dims=("band", "lat", "lon"),
    )  # fmt: skip
    with pytest.raises(ValueError, match=words):
        sampler(array, **parameters).fit([[0.0, 0.0]])


def test_bilinear_reproduces_a_plane_exactly():
    row, col = np.mgrid[0:20, 0:30]
    array = xr.DataArray(
        (2.0 * col - 3.0 * row)[None],
        coords={"band": ["plane"], "y": 100 - row[:, 0] * 10.0, "x": col[0] * 10.0},
        dims=("band", "y", "x"),
    )
    points, _, _ = random_pixels(100, 18, 28, Affine(10, 0, 5, 0, -10, 95), 32631)
    shifted = array.assign_coords(x=array.x, y=array.y)
    x, y = from_lonlat(*points.T, 32631)
    expected = 2.0 * x / 10 - 3.0 * (100 - y) / 10
    values = sampler(ArraySource(shifted, crs=32631), method="bilinear").transform(points)
    assert_allclose(values[:, 0], expected, rtol=1e-5, atol=1e-4)
