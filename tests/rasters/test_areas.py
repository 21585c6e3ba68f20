"""Parts of polygons: together the polygon, no ground twice."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.testing import assert_allclose

from geofeat import AlphaEarthSource, RasterSource
from geofeat.rasters._areas import ground_area, intersections
from geofeat.rasters._pixel_shapes import pixel_shapes, shape_in_grid
from geofeat.rasters._polygons import read_polygons
from geofeat.rasters._projection import PixelGrid
from tests.rasters.conftest import SEAM
from tests.rasters.polygon_oracle import in_crs
from tests.rasters.writers import from_lonlat, write_raster


def parts_in_degrees(found):
    """Parts of areas back in degrees, from the affine of their file."""
    parts = []
    for file, part in zip(found.file, found.part, strict=True):
        header = found.files[file]
        a, b, c, d, e, f = header.grid.transform
        placed = shapely.transform(
            shapely.segmentize(part, 8.0),
            lambda p, t=(a, b, c, d, e, f): np.column_stack(
                [t[0] * p[:, 0] + t[1] * p[:, 1] + t[2], t[3] * p[:, 0] + t[4] * p[:, 1] + t[5]]
            ),
        )
        # Slivers between grids lose their shape by rounding on the way back.
        parts.append(shapely.make_valid(in_crs(placed, 4326, of=header.epsg, step=100.0)))
    return parts


def assert_parts_of(found, shapes):
    """No two parts share ground, together they are the held share of the polygon."""
    parts = np.array(parts_in_degrees(found), dtype=object)
    for i, shape in enumerate(shapes):
        mine = parts[found.polygon == i]
        union = shapely.union_all(mine)
        assert_allclose(sum(part.area for part in mine), union.area, rtol=1e-4)
        assert shapely.difference(union, shape.buffer(1e-6)).area < 1e-6 * shape.area
        assert_allclose(union.area / shape.area, found.share[i], atol=1e-4)


@pytest.fixture(scope="module")
def shapes():
    rng = np.random.default_rng(0)
    return [
        shapely.Point(SEAM + x, 47 + y).buffer(r, quad_segs=5)
        for x, y, r in rng.uniform([-0.005, -0.003, 2e-4], [0.005, 0.003, 4e-3], (25, 3))
    ]


def degrees(shapes):
    return read_polygons(gpd.GeoSeries(shapes, crs=4326), "Sampler")


@pytest.mark.parametrize("indexed", [True, False])
def test_footprints_share_out_the_ground(seam, shapes, tmp_path, indexed):
    seam.index.to_parquet(tmp_path / "aef_index.parquet")
    source = (
        AlphaEarthSource(tmp_path / "aef_index.parquet", root=seam.root)
        if indexed
        else AlphaEarthSource(seam.root)
    )
    found = source.areas(degrees(shapes), np.full(25, 2022))
    assert_parts_of(found, shapes)
    assert 0 == found.share.min() < np.median(found.share) < found.share.max()
    assert found.share.max() == pytest.approx(1)
    for file, part in zip(found.file, parts_in_degrees(found), strict=True):
        west, _, east, _ = part.bounds
        own = east <= SEAM + 1e-6 if found.files[file].epsg == 32632 else west >= SEAM - 1e-6
        assert own


def test_boxes_that_overlap_share_out_the_ground(seam, shapes, tmp_path):
    """An index without polygons, whose files of one zone reach over each other's boxes."""
    index = seam.index[seam.index.year == 2022].copy()
    index["wgs84_west"], index["wgs84_east"] = SEAM - 0.1, SEAM + 0.1
    index.drop(columns="geom").to_parquet(tmp_path / "aef_index.parquet")
    source = AlphaEarthSource(tmp_path / "aef_index.parquet", root=seam.root)
    found = source.areas(degrees(shapes), np.full(25, 2022))
    assert_parts_of(found, shapes)
    # Where the own zone has no pixel the other one serves, so more is held than by footprints.
    strict = AlphaEarthSource(seam.root).areas(degrees(shapes), np.full(25, 2022))
    assert (found.share >= strict.share - 1e-4).all()


@pytest.mark.parametrize("overlap", ["first", "interior"])
def test_rasters_that_overlap_share_out_the_ground(shapes, tmp_path, overlap):
    paths = []
    for i, epsg in enumerate((32632, 32633, 32633)):
        x, y = from_lonlat(SEAM, 47.0, epsg)
        transform = Affine(10, 0, x - 300 + 77 * i, 0, -10, y + 350 - 55 * i)
        values = np.zeros((1, 50, 60), dtype=np.float32)
        paths.append(
            write_raster(tmp_path / f"{i}.tif", values, crs=f"EPSG:{epsg}", transform=transform)
        )
    found = RasterSource(paths, overlap=overlap).areas(degrees(shapes), np.full(25, -1))
    assert_parts_of(found, shapes)
    assert np.bincount(found.polygon).max() == 3


def test_shapes_move_between_grids():
    utm = PixelGrid("EPSG:32632", (10.0, 0.0, 600_000.0, 0.0, 10.0, 5_200_000.0), 100, 100)
    other = PixelGrid("EPSG:32633", (7.0, 0.0, 140_000.0, 0.0, -7.0, 5_210_000.0), 100, 100)
    degrees_360 = PixelGrid("EPSG:4326", (0.01, 0.0, 0.0, 0.0, -0.01, 90.0), 36_000, 18_000)
    shape = shapely.Point(40, 70).buffer(20)
    for grid in (other, degrees_360):
        there = shape_in_grid(shape, utm, grid)
        back = shape_in_grid(there, grid, utm)
        assert shapely.symmetric_difference(shape, back).area < 1e-4 * shape.area


def test_west_of_greenwich_a_grid_may_count_from_0_to_360():
    grid = PixelGrid("EPSG:4326", (1.0, 0.0, 0.0, 0.0, -1.0, 90.0), 360, 180)
    box = np.array([shapely.box(-20, 10, -10, 30)], dtype=object)
    seen, index = pixel_shapes(box, np.zeros(1, dtype=np.int64), [grid])
    assert index.tolist() == [0]
    assert seen[0].bounds == (340, 60, 350, 80)


def test_intersections_know_what_lies_inside():
    big, small, beside = shapely.box(0, 0, 9, 9), shapely.box(1, 1, 2, 2), shapely.box(9, 0, 10, 1)
    pairs = [(big, small), (small, big), (big, shapely.box(8, 8, 10, 10)), (big, beside)]
    ones, others = (np.array(column, dtype=object) for column in zip(*pairs, strict=True))
    found = intersections(ones, others)
    assert [None if shape is None else shape.area for shape in found] == [1, 1, 1, None]


def test_ground_is_measured_alike_everywhere():
    shapes = np.array([shapely.box(0, 0, 1, 30), shapely.box(50, 30, 51, 90), None], dtype=object)
    assert_allclose(ground_area(shapes), [0.5, 0.5, 0])
