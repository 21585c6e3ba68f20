"""Sums over polygons against sums taken pixel by pixel, and against exactextract's own."""

import geopandas as gpd
import numba
import numpy as np
import pytest
import shapely
import xarray as xr
from affine import Affine
from numpy.testing import assert_allclose, assert_array_equal

from geofeat import AlphaEarthSource, ArraySource, RasterSource, TesseraSource
from geofeat.exceptions import LimitError
from geofeat.rasters import _tessera_cells, _zonal_pieces
from geofeat.rasters._candidates import REASONS
from geofeat.rasters._polygons import read_polygons
from geofeat.rasters._zonal_reading import Zonal, sample_zones
from tests.rasters.conftest import SEAM, SIZE, block_planes
from tests.rasters.polygon_oracle import centres_inside, fractions, in_crs, moments
from tests.rasters.writers import (
    alphaearth_values,
    from_lonlat,
    place_of,
    random_bytes,
    tessera_geometry,
    to_lonlat,
    write_alphaearth,
    write_raster,
    write_tessera,
)

BANDS = np.array([2, 0, 63])
WEST, TOP = 500_000.0, 5_200_000.0
NORTH_UP = Affine(10, 0, WEST, 0, -10, TOP)


def zones(source, shapes, zonal="mean", *, crs=4326, year=-1, bands=BANDS, fallback=None, **asked):
    """Values and what became of the polygons."""
    polygons = read_polygons(gpd.GeoSeries(list(shapes), crs=crs), "Sampler")
    years = np.broadcast_to(np.asarray(year), len(polygons)).astype(np.int64)
    values = np.empty((len(polygons), bands.size + asked.get("coherence", False)), np.float32)
    found = sample_zones(
        source, polygons, years, bands, values, Zonal(zonal, **asked), fallback=fallback
    )
    return values, found


def reasons(found):
    return [REASONS[code] for code in found.reason]


def blob(x, y, radius, seed=0):
    """A star of random radii around a place, with a hole."""
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    reach = radius * rng.uniform(0.4, 1.0, angle.size)
    star = shapely.Polygon(np.column_stack([x + reach * np.cos(angle), y + reach * np.sin(angle)]))
    return star.difference(shapely.Point(x, y).buffer(0.15 * radius))


@pytest.fixture(scope="module")
def array():
    """Random numbers of three bands, 90 x 120 pixels of 10 m, a tenth missing."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 90, 120)).astype(np.float32)
    values[:, rng.random((90, 120)) < 0.1] = np.nan
    return xr.DataArray(
        values,
        coords={
            "band": ["a", "b", "c"],
            "y": TOP - 10 * (np.arange(90) + 0.5),
            "x": WEST + 10 * (np.arange(120) + 0.5),
        },
        dims=("band", "y", "x"),
        attrs={"crs": "EPSG:32632"},
    )


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(1)
    return [
        blob(WEST + rng.uniform(200, 1000), TOP - rng.uniform(200, 700), rng.uniform(15, 200), i)
        for i in range(40)
    ]


ALL = np.arange(3)


def test_means_are_those_of_exactextract(array, blobs):
    exactextract = pytest.importorskip("exactextract")
    from exactextract.raster import NumPyRasterSource

    frame = gpd.GeoDataFrame(geometry=blobs, crs=32632)
    bounds = WEST, TOP - 900, WEST + 1200, TOP
    rasters = [
        NumPyRasterSource(band, *bounds, nodata=np.nan, name=name, srs_wkt=frame.crs.to_wkt())
        for name, band in zip("abc", array.values, strict=True)
    ]
    theirs = exactextract.exact_extract(rasters, frame, ["mean", "stdev"], output="pandas")
    values, found = zones(ArraySource(array), blobs, crs=32632, bands=ALL)
    assert reasons(found) == ["ok"] * len(blobs)
    assert_allclose(values, theirs[["a_mean", "b_mean", "c_mean"]], atol=1e-6)
    values, _ = zones(ArraySource(array), blobs, "std", crs=32632, bands=ALL)
    assert_allclose(values, theirs[["a_stdev", "b_stdev", "c_stdev"]], atol=1e-6)


@pytest.mark.parametrize("statistic", ["mean", "std", "center"])
def test_statistics_are_those_over_pixels(array, blobs, statistic):
    values, found = zones(ArraySource(array), blobs, statistic, crs=32632, bands=ALL)
    weigh = centres_inside if statistic == "center" else fractions
    for i, shape in enumerate(blobs):
        weights = weigh(shape, NORTH_UP, 90, 120)
        mean, std, weight = moments([(weights, array.values)])
        assert_allclose(values[i], std if statistic == "std" else mean, atol=1e-6)
        assert_allclose(found.counts.weight[i], weight, rtol=1e-6)
        known = ~np.isnan(array.values[0]) & (weights > 1e-7)
        assert found.counts.pixels[i] == known.sum()
        assert_allclose(found.counts.valid[i], weight / weights.sum(), rtol=1e-6)


def test_the_length_of_the_mean_is_a_column_and_l2_comes_after_it(array, blobs):
    plain, _ = zones(ArraySource(array), blobs, crs=32632, bands=ALL)
    unit, _ = zones(ArraySource(array), blobs, crs=32632, bands=ALL, coherence=True, normalize="l2")
    length = np.linalg.norm(plain, axis=1)
    assert_allclose(unit[:, 3], length, rtol=1e-6)
    assert_allclose(unit[:, :3], plain / length[:, None], rtol=1e-5, atol=1e-7)


def test_missing_bands_hide_a_pixel_or_only_themselves(array, blobs):
    holes = array.copy()
    holes.values[1, 20:50] = np.nan
    any_, _ = zones(ArraySource(holes), blobs, crs=32632, bands=ALL)
    all_, _ = zones(ArraySource(holes), blobs, crs=32632, bands=ALL, missing="all")
    for i, shape in enumerate(blobs):
        weights = fractions(shape, NORTH_UP, 90, 120)
        if np.isnan(any_[i]).all():
            continue
        assert_allclose(any_[i], moments([(weights, holes.values)])[0], atol=1e-6)
        for band in range(3):
            mean = moments([(weights, holes.values[band : band + 1])])[0]
            assert_allclose(all_[i, band], mean[0], atol=1e-6)


GRIDS = {
    "north-up": (NORTH_UP, lambda v: v),
    "south-up": (Affine(10, 0, WEST, 0, 10, TOP - 600), lambda v: v[:, ::-1]),
    "east first": (Affine(-10, 0, WEST + 700, 0, -10, TOP), lambda v: v[:, :, ::-1]),
    "transposed": (Affine(0, 10, WEST, -10, 0, TOP), lambda v: v.transpose(0, 2, 1)),
}


def test_it_does_not_matter_how_a_raster_lies(tmp_path, blobs):
    values = np.random.default_rng(2).normal(size=(64, 60, 70)).astype(np.float32)
    found = []
    for name, (transform, turn) in GRIDS.items():
        path = write_raster(
            tmp_path / f"{name}.tif", turn(values), crs="EPSG:32632", transform=transform
        )
        found.append(zones(RasterSource(path), blobs, crs=32632))
    for i, shape in enumerate(blobs):
        weights = fractions(shape, NORTH_UP, 60, 70)
        if weights.sum():
            mean, _, _ = moments([(weights, values[BANDS])])
            for ours, _ in found:
                assert_allclose(ours[i], mean, atol=2e-5)
        else:
            assert {reasons(info)[i] for _, info in found} == {"no_coverage"}


def test_rotated_rasters(tmp_path, blobs):
    values = np.random.default_rng(3).normal(size=(3, 60, 70)).astype(np.float32)
    cos, sin = np.cos(np.pi / 3), np.sin(np.pi / 3)
    transform = Affine(12 * cos, 9 * sin, WEST + 300, -12 * sin, 9 * cos, TOP)
    path = write_raster(tmp_path / "turned.tif", values, crs="EPSG:32632", transform=transform)
    ours, found = zones(RasterSource(path), blobs, crs=32632, bands=ALL)
    held = 0
    for i, shape in enumerate(blobs):
        weights = fractions(shape, transform, 60, 70)
        held += weights.sum() > 0
        if weights.sum():
            assert_allclose(ours[i], moments([(weights, values)])[0], atol=2e-6)
            share = weights.sum() * 12 * 9 / shape.area
            assert_allclose(found.counts.valid[i], share, rtol=1e-4)
    assert held > 10


def seam_parts(seam, shape, year):
    """Weights and values of a polygon in degrees: each file for its side of the seam."""
    for file in seam.files:
        if file.year != year:
            continue
        side = shapely.box(0, 0, SEAM, 80) if file.zone == "32N" else shapely.box(SEAM, 0, 24, 80)
        part = in_crs(shapely.intersection(shape, side), file.epsg)
        transform = Affine(10, 0, file.west, 0, 10, file.south)
        values = alphaearth_values(file.stored[BANDS])
        yield fractions(part, transform, SIZE, SIZE), values


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("year", [2022, 2023])
def test_polygons_over_two_zones_combine_sums_and_weights(seam, indexed, year, tmp_path):
    seam.index.to_parquet(tmp_path / "aef_index.parquet")
    source = (
        AlphaEarthSource(tmp_path / "aef_index.parquet", root=seam.root)
        if indexed
        else AlphaEarthSource(seam.root)
    )
    shapes = [blob(SEAM + dx, 47 + dy, 0.0025, i) for i, (dx, dy) in enumerate(PLACES)]
    values, found = zones(source, shapes, year=year)
    n_files = []
    for i, shape in enumerate(shapes):
        parts = list(seam_parts(seam, shape, year))
        n_files.append(sum(weights.sum() > 0 for weights, _ in parts))
        mean, _, weight = moments(parts)
        assert_allclose(values[i], mean, atol=1e-5)
        assert_allclose(found.counts.weight[i], weight, rtol=1e-3)  # the zones differ in scale
    assert sorted(set(n_files)) == [1, 2]
    only = found.file >= 0
    assert_array_equal(only, np.array(n_files) == 1)


PLACES = [(0, 0), (0.0005, 0.0002), (-0.001, 0.0004), (-0.0028, 0), (0.003, 0.0003)]


def test_empty_pixels_count_for_nothing_and_min_valid_decides(seam):
    source = AlphaEarthSource(seam.root)
    file = next(f for f in seam.files if (f.year, f.zone) == (2023, "32N"))
    x, y = file.west + 200, file.south + 250  # its left half is in the hole
    shape = in_crs(shapely.box(x - 70, y - 50, x + 130, y + 50), 4326, of=file.epsg, step=1.0)
    _, found = zones(source, [shape], year=2023)
    assert_allclose(found.counts.valid, 0.65, rtol=1e-4)
    for min_valid, reason in ((0.6, "ok"), (0.7, "nodata")):
        values, found = zones(source, [shape], year=2023, min_valid=min_valid)
        assert reasons(found) == [reason]
        assert np.isnan(values).all() == (reason != "ok")
    values, found = zones(source, [shape], year=2022, min_valid=1.0)
    assert reasons(found) == ["ok"]


def test_what_lies_in_no_file_counts_against_min_valid(seam):
    source = AlphaEarthSource(seam.root)
    file = next(f for f in seam.files if (f.year, f.zone) == (2022, "32N"))
    x, y = file.west, file.south + 320  # a quarter of it is beyond the western edge
    shape = in_crs(shapely.box(x - 50, y - 50, x + 150, y + 50), 4326, of=file.epsg, step=1.0)
    values, found = zones(source, [shape], year=2022, min_valid=0.7)
    assert_allclose(found.counts.valid, 0.75, rtol=1e-4)
    assert not np.isnan(values).any()
    values, found = zones(source, [shape], year=2022, min_valid=0.8)
    assert reasons(found) == ["no_coverage"]
    assert np.isnan(values).all()


def test_polygons_over_the_equator(tmp_path):
    parts, shape = [], blob(9.0, 0.0, 0.003, 5)
    for epsg, name in ((32632, "N"), (32732, "S")):
        x, y = from_lonlat(9.0, 0.0, epsg)
        west, south = 10 * np.floor(x / 10) - 400, 10 * np.floor(y / 10) - 400
        stored = random_bytes(epsg, (64, 80, 80))
        write_alphaearth(
            tmp_path / "2024" / f"32{name}" / "a.tiff", stored, epsg=epsg, west=west, south=south
        )
        half = shapely.box(0, 0, 20, 9) if name == "N" else shapely.box(0, -9, 20, 0)
        part = in_crs(shapely.intersection(shape, half), epsg)
        weights = fractions(part, Affine(10, 0, west, 0, 10, south), 80, 80)
        parts.append((weights, alphaearth_values(stored[BANDS])))
    values, found = zones(AlphaEarthSource(tmp_path), [shape], year=2024)
    assert all(weights.sum() > 100 for weights, _ in parts)
    assert_allclose(values[0], moments(parts)[0], atol=1e-5)
    assert_allclose(found.counts.valid, 1, rtol=1e-6)


def jumping(lonlat):
    return np.column_stack([(lonlat[:, 0] + 180) % 360 - 180, lonlat[:, 1]])


def test_polygons_over_the_antimeridian(tmp_path):
    parts = []
    shape = shapely.box(179.997, 59.998, 180.002, 60.001)
    for zone, side in ((60, shapely.box(170, 0, 180, 80)), (1, shapely.box(180, 0, 190, 80))):
        x, y = from_lonlat(180.0, 60.0, 32600 + zone)
        west, south = 10 * np.floor(x / 10) - 400, 10 * np.floor(y / 10) - 400
        stored = random_bytes(zone, (64, 80, 80))
        path = tmp_path / "2024" / f"{zone}N" / "a.tiff"
        write_alphaearth(path, stored, epsg=32600 + zone, west=west, south=south)
        part = in_crs(shapely.intersection(shape, side), 32600 + zone)
        weights = fractions(part, Affine(10, 0, west, 0, 10, south), 80, 80)
        parts.append((weights, alphaearth_values(stored[BANDS])))
    truth, _, weight = moments(parts)
    ways = [shape, shapely.transform(shape, lambda c: c - [360, 0])]
    ways.append(
        shapely.transform(shape, lambda c: np.column_stack([(c[:, 0] + 180) % 360 - 180, c[:, 1]]))
    )
    source = AlphaEarthSource(tmp_path)
    values, found = zones(source, ways, year=2024)
    assert_allclose(values, np.tile(truth, (3, 1)), atol=1e-5)
    assert_allclose(found.counts.weight, weight, rtol=1e-3)
    values, _ = zones(source, [in_crs(shape, 32660)], crs=32660, year=2024)
    assert_allclose(values[0], truth, atol=1e-5)


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """TESSERA tiles of two neighbouring cells, high up where they are small."""
    root = tmp_path_factory.mktemp("tessera")
    tiles = {}
    for lon in (10.05, 10.15):
        epsg, transform, height, width = tessera_geometry(lon, 87.05)
        stored = random_bytes(int(lon * 100), (height, width, 128))
        scales = np.random.default_rng(3).uniform(0.01, 0.3, (height, width)).astype(np.float32)
        scales[500:505] = 0
        write_tessera(root / "2024", lon, 87.05, stored, scales)
        values = (stored * scales[..., None]).transpose(2, 0, 1)[BANDS]
        values[:, scales == 0] = np.nan
        tiles[lon] = epsg, transform, values
    return root, tiles


def test_tiles_of_tessera_own_the_ground_of_their_cells(cells):
    root, tiles = cells
    shapes = [shapely.box(10.03, 87.03, 10.16, 87.06), shapely.box(10.11, 87.01, 10.14, 87.012)]
    values, found = zones(TesseraSource(root), shapes, year=2024)
    for i, shape in enumerate(shapes):
        parts = []
        for lon, (epsg, transform, numbers) in tiles.items():
            cell = shapely.box(lon - 0.05, 87.0, lon + 0.05, 87.1)
            part = in_crs(shapely.intersection(shape, cell), epsg, step=2e-3)
            parts.append((fractions(part, transform, *numbers.shape[1:]), numbers))
        mean, _, weight = moments(parts)
        assert_allclose(values[i], mean, atol=1e-4)
        assert_allclose(found.counts.weight[i], weight, rtol=1e-4)
    assert_array_equal(found.file >= 0, [False, True])


def test_cells_without_a_tile_are_told(cells):
    root, _ = cells
    beside = shapely.box(10.21, 87.01, 10.22, 87.02)
    values, found = zones(TesseraSource(root), [beside, None], year=2024)
    assert reasons(found) == ["no_coverage", "bad_coordinate"]
    assert np.isnan(values).all()
    _, found = zones(TesseraSource(root), [shapely.box(10.19, 87.01, 10.21, 87.02)], year=2024)
    assert reasons(found) == ["ok"]
    assert_allclose(found.counts.valid, 0.5, rtol=0.01)


def test_a_polygon_of_too_many_tiles_is_refused(cells, monkeypatch):
    monkeypatch.setattr(_tessera_cells, "_MAX_CELLS", 10)
    with pytest.raises(LimitError, match="polygon 0 holds 20 tiles, the bound is 10"):
        zones(TesseraSource(cells[0]), [shapely.box(10.01, 87.01, 10.95, 87.15)], year=2024)


@pytest.fixture(scope="module")
def overlapping(tmp_path_factory):
    """Three rasters that overlap, the second on another grid, the third in another zone."""
    folder, rasters = tmp_path_factory.mktemp("overlapping"), []
    x, y = from_lonlat(*to_lonlat(WEST + 800, TOP - 450, 32632)[0:1].T, 32633)
    grids = [
        (32632, NORTH_UP),
        (32632, Affine(10, 0, WEST + 244, 0, 10, TOP - 777)),
        (32633, Affine(10, 0, 10 * (x[0] // 10) - 200, 0, -10, 10 * (y[0] // 10) + 250)),
    ]
    for i, (epsg, transform) in enumerate(grids):
        values = np.random.default_rng(i).normal(size=(3, 50, 60)).astype(np.float32)
        path = folder / f"{i}.tif"
        write_raster(path, values, crs=f"EPSG:{epsg}", transform=transform)
        rasters.append((str(path), epsg, transform, values))
    return rasters


def outline(transform, epsg):
    """Outline of a raster of 50 x 60 pixels in zone 32."""
    corners = [place_of(transform, *corner) for corner in ((0, 0), (60, 0), (60, 50), (0, 50))]
    shape = shapely.Polygon(corners)
    return shape if epsg == 32632 else in_crs(shape, 32632, of=epsg, step=1.0)


def overlap_parts(rasters, shape, order):
    for place, i in enumerate(order):
        _, epsg, transform, values = rasters[i]
        for j in order[:place]:
            shape = shapely.difference(shape, outline(rasters[j][2], rasters[j][1]))
        part = shape if epsg == 32632 else in_crs(shape, epsg, of=32632, step=1.0)
        yield fractions(part, transform, 50, 60), values


def test_the_first_file_takes_the_ground_that_several_hold(overlapping, blobs):
    source = RasterSource([path for path, *_ in overlapping])
    values, found = zones(source, blobs, crs=32632, bands=ALL)
    used = set()
    for i, shape in enumerate(blobs):
        parts = list(overlap_parts(overlapping, shape, [0, 1, 2]))
        used.add(tuple(weights.sum() > 0.01 for weights, _ in parts))
        if reasons(found)[i] == "ok":
            mean, _, weight = moments(parts)
            assert_allclose(values[i], mean, atol=2e-4)
            assert_allclose(found.counts.weight[i], weight, rtol=2e-3)
    assert len(used) > 4


def test_the_mean_counts_the_pixels_of_all_files(overlapping, blobs):
    source = RasterSource([path for path, *_ in overlapping], overlap="mean")
    values, found = zones(source, blobs, crs=32632, bands=ALL)
    for i, shape in enumerate(blobs):
        if reasons(found)[i] == "ok":
            parts = [next(overlap_parts(overlapping, shape, [k])) for k in range(3)]
            assert_allclose(values[i], moments(parts)[0], atol=2e-4)
    assert found.counts.valid.max() <= 1


def test_interior_prefers_the_file_in_which_the_polygon_lies_deepest(overlapping):
    source = RasterSource([path for path, *_ in overlapping[:2]], overlap="interior")
    shapes = [shapely.Point(WEST + x, TOP - y).buffer(60) for x, y in ((300, 290), (550, 450))]
    values, _ = zones(source, shapes, crs=32632, bands=ALL)
    for i, order in enumerate(([0, 1], [1, 0])):
        mean, _, _ = moments(overlap_parts(overlapping, shapes[i], order))
        assert_allclose(values[i], mean, atol=2e-4)


def test_pixels_of_several_sizes_count_by_their_ground(tmp_path):
    paths = []
    for i, (size, left) in enumerate(((10, 0), (40, 400))):
        values = np.full((1, 400 // size, 400 // size), float(i), dtype=np.float32)
        transform = Affine(size, 0, WEST + left, 0, -size, TOP)
        paths.append(
            write_raster(tmp_path / f"{i}.tif", values, crs="EPSG:32632", transform=transform)
        )
    shape = shapely.box(WEST + 300, TOP - 300, WEST + 600, TOP - 100)
    values, _ = zones(RasterSource(paths), [shape], crs=32632, bands=np.arange(1))
    assert_allclose(values, 2 / 3, rtol=2e-3)


def test_tiny_polygons_are_served_as_points(array):
    dense = array.fillna(0.0)
    x, y = WEST + 333.0, TOP - 444.0  # off the centre of column 33, row 44
    speck = shapely.box(x, y, x + 0.5, y + 0.5)
    line = shapely.Polygon([(x, y), (x + 0.5, y + 0.5), (x, y)])
    pixel = dense.values[:, 44, 33]
    values, found = zones(ArraySource(dense), [speck, line], "center", crs=32632, bands=ALL)
    assert_array_equal(values, [pixel, pixel])
    assert_array_equal(found.row, [44, 44])
    assert_array_equal(found.counts.pixels, [1, 1])
    values, found = zones(ArraySource(dense), [speck, line], crs=32632, bands=ALL)
    assert_allclose(values, [pixel, pixel], rtol=1e-6)
    assert_allclose(found.counts.weight, [0.0025, 1], rtol=1e-4)
    values, _ = zones(
        ArraySource(dense), [line], "std", crs=32632, bands=ALL, coherence=True, normalize="l2"
    )
    assert_allclose(values, [[0, 0, 0, np.linalg.norm(pixel)]], rtol=1e-6)


def test_years_choose_the_layer_of_each_polygon(array):
    cube = xr.concat([array, array + 10], dim=xr.IndexVariable("year", [2022, 2023]))
    cube.attrs = array.attrs
    shape = shapely.Point(WEST + 500, TOP - 400).buffer(100)
    values, found = zones(
        ArraySource(cube), [shape] * 3, crs=32632, bands=ALL, year=[2023, 2022, 7]
    )
    assert reasons(found) == ["ok", "ok", "no_year"]
    assert_allclose(values[0], values[1] + 10, rtol=1e-5)
    nearest, found = zones(
        ArraySource(cube), [shape], crs=32632, bands=ALL, year=2030, fallback="nearest"
    )
    assert_array_equal(nearest[0], values[0])
    assert_array_equal(found.year, [2023])


def test_years_of_files(seam):
    source = AlphaEarthSource(seam.root)
    shape = blob(SEAM, 47.0, 0.002)
    values, found = zones(source, [shape] * 3, year=[2022, 2023, 2024])
    assert reasons(found) == ["ok", "ok", "no_year"]
    nearest, found = zones(source, [shape] * 2, year=[2024, 2010], fallback="nearest")
    assert_array_equal(nearest, values[[1, 0]])
    assert_array_equal(found.year, [2023, 2022])


def test_files_that_are_not_there_are_named(seam, tmp_path):
    seam.index.to_parquet(tmp_path / "aef_index.parquet")
    folder = tmp_path / "2022" / "33N"
    folder.mkdir(parents=True)
    there = next(f for f in seam.files if (f.year, f.zone) == (2022, "33N"))
    (folder / there.path.split("/")[-1]).symlink_to(there.path)
    source = AlphaEarthSource(
        tmp_path / "aef_index.parquet", prefixes={"gs://": str(tmp_path / "nowhere")}
    )
    shapes = [blob(SEAM - 0.003, 47.0, 0.002), blob(SEAM, 47.0, 0.002)]
    values, found = zones(source, shapes, year=2022)
    assert reasons(found) == ["no_coverage", "no_coverage"]
    assert len(found.absent) == 2
    named = found.files[found.file[0]]
    assert "32N" in named
    assert np.isnan(values).all()


def test_promised_ground_beyond_the_raster_is_outside(seam, tmp_path):
    index = seam.index.copy()
    index["geom"] = [
        shapely.box(11.9, 46.9, 12, 47.1) if zone == "32N" else shapely.box(12, 46.9, 12.1, 47.1)
        for zone in index.utm_zone
    ]
    index.to_parquet(tmp_path / "aef_index.parquet")
    source = AlphaEarthSource(tmp_path / "aef_index.parquet", root=seam.root)
    shapes = [shapely.box(11.92, 46.95, 11.93, 46.96), shapely.box(13, 46.95, 13.1, 46.96)]
    _, found = zones(source, shapes, year=2022)
    assert reasons(found) == ["outside", "no_coverage"]


def test_longitudes_may_count_from_0_to_360():
    rng = np.random.default_rng(4)
    values = rng.normal(size=(1, 18, 36)).astype(np.float32)
    east = xr.DataArray(
        values,
        coords={"band": ["a"], "lat": 85 - 10 * np.arange(18.0), "lon": 5 + 10 * np.arange(36.0)},
        dims=("band", "lat", "lon"),
    )
    both = xr.DataArray(
        np.roll(values, 18, axis=2),
        coords={**east.coords, "lon": -175 + 10 * np.arange(36.0)},
        dims=east.dims,
    )
    shapes = [
        shapely.box(-23, 11, 34, 37),
        shapely.box(163, -20, 199, 3),
        shapely.box(-180, -90, 180, 90),
    ]
    truth = []
    for shape in shapes:
        wide = np.tile(values, (1, 1, 3))
        transform = Affine(10, 0, -360, 0, -10, 90)
        truth.append(moments([(fractions(shape, transform, 18, 108), wide)])[0])
    for array in (east, both):
        found, info = zones(ArraySource(array), shapes, bands=np.arange(1))
        assert_allclose(found, truth, atol=1e-6)
        assert_allclose(info.counts.valid, 1, rtol=1e-6)


def test_blocks_are_decoded_once_also_in_many_batches(tmp_path, reads, monkeypatch):
    values = np.random.default_rng(5).normal(size=(3, 96, 128)).astype(np.float32)
    path = write_raster(tmp_path / "a.tif", values, crs="EPSG:32632", transform=NORTH_UP)
    rng = np.random.default_rng(6)
    shapes = [
        blob(WEST + rng.uniform(100, 1100), TOP - rng.uniform(100, 850), r, i)
        for i, r in enumerate(rng.uniform(3, 450, 30))
    ]
    whole, info = zones(RasterSource(path), shapes, crs=32632, bands=ALL)
    monkeypatch.setattr(_zonal_pieces, "_TILE_SIDE", 32)
    monkeypatch.setattr(_zonal_pieces, "_PIXELS_AT_ONCE", 2000)
    monkeypatch.setattr(_zonal_pieces, "_PIXELS_OF_A_TILE", 10**6)
    reads.clear()
    parts, info_of_parts = zones(RasterSource(path), shapes, crs=32632, bands=ALL)
    assert_allclose(parts, whole, atol=1e-6)
    assert_allclose(info_of_parts.counts.weight, info.counts.weight, rtol=1e-6)
    assert_array_equal(info_of_parts.counts.pixels, info.counts.pixels)
    planes = block_planes(reads, 16)
    assert len(planes) == len(set(planes)) > 3 * 20
    # Overlapping polygons of one tile may exceed what is held at once.
    monkeypatch.setattr(_zonal_pieces, "_PIXELS_OF_A_TILE", 1500)
    again, _ = zones(RasterSource(path), shapes, crs=32632, bands=ALL)
    assert_allclose(again, whole, atol=1e-6)


def test_only_the_blocks_below_a_polygon_are_read(seam, reads):
    file = seam.files[0]
    x, y = file.west + 100, file.south + 100
    shape = in_crs(shapely.box(x, y, x + 40, y + 40), 4326, of=file.epsg, step=1.0)
    zones(AlphaEarthSource(file.path), [shape], year=2022, bands=np.array([5]))
    assert set(block_planes(reads, 16)) == {(file.path, 0, 0, 6)}


def test_the_number_of_threads_changes_no_bit(seam):
    shapes = [blob(SEAM + dx, 47 + dy, 0.002, i) for i, (dx, dy) in enumerate(PLACES)]
    source = AlphaEarthSource(seam.root)
    found = []
    before = numba.get_num_threads()
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            found.append(zones(source, shapes, "std", year=2022)[0])
    finally:
        numba.set_num_threads(before)
    assert_array_equal(*found)


def test_sources_without_areas_are_refused_by_name(array):
    class Points:
        years = None

    with pytest.raises(TypeError, match="Points cannot be sampled by polygons"):
        zones(Points(), [shapely.box(0, 0, 1, 1)])
