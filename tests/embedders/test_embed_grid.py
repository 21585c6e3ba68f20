"""Maps of features: their pixels, numbers, reference system, memory, and the way back to points."""

import importlib.util
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline, make_union

from geofeat import (
    ArraySource,
    CartesianEncoder,
    EmbeddingRasterSampler,
    HarmonicFeatures,
    SphericalHarmonicsEncoder,
    all_transformers,
    embed_grid,
)
from geofeat._base import LocationTransformer
from geofeat.embedders import _embed_grid
from geofeat.exceptions import LimitError
from tests.examples import examples_of, is_location_transformer

BOX = (4.0, 50.0, 7.0, 52.0)
EMBEDDERS = [
    pytest.param(embedder, id=f"{name}-{i}")
    for name, kind in all_transformers()
    for i, embedder in enumerate(examples_of(name, kind))
    if is_location_transformer(embedder)
]


class Counting(BaseEstimator):
    """Features that are the coordinates, and a list of how many rows each call had."""

    def __init__(self, width=2):
        self.width = width
        self.calls = []

    def transform(self, X):
        self.calls.append(len(X))
        return np.resize(X.T, (self.width, len(X))).T

    def get_feature_names_out(self):
        return np.array([f"f{i}" for i in range(self.width)], dtype=object)


def centres(grid):
    """Longitude and latitude of every pixel, in rows of the map from the north-west."""
    return np.array([(x, y) for y, x in itertools.product(grid.y.values, grid.x.values)])


@pytest.mark.parametrize("embedder", EMBEDDERS)
def test_a_pixel_holds_the_features_of_its_centre(embedder):
    embedder.fit(centres(embed_grid(CartesianEncoder(), BOX, 0.5)))
    grid = embed_grid(embedder, BOX, 0.5, dtype="float64")
    assert grid.dims == ("band", "y", "x")
    np.testing.assert_array_equal(grid.y, [51.75, 51.25, 50.75, 50.25])
    np.testing.assert_array_equal(grid.x, [4.25, 4.75, 5.25, 5.75, 6.25, 6.75])
    assert grid.band.values.tolist() == embedder.get_feature_names_out().tolist()
    features = grid.values.reshape(grid.sizes["band"], -1).T
    np.testing.assert_array_equal(features, embedder.transform(centres(grid)))


def test_results_are_float32_unless_asked_otherwise():
    exact = embed_grid(CartesianEncoder(), BOX, 0.5, dtype="float64")
    rounded = embed_grid(CartesianEncoder(), BOX, 0.5)
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(rounded, exact.astype(np.float32))


def test_a_pixel_may_be_wider_than_high():
    grid = embed_grid(Counting(), BOX, (1.5, 0.25), dtype="float64")
    np.testing.assert_array_equal(grid.x, [4.75, 6.25])
    np.testing.assert_array_equal(grid.y, 51.875 - 0.25 * np.arange(8))
    np.testing.assert_array_equal(grid[0], np.broadcast_to(grid.x, (8, 2)))
    np.testing.assert_array_equal(grid[1].T, np.broadcast_to(grid.y, (2, 8)))


@settings(deadline=None)  # imports xarray at first
@given(
    west=st.floats(-180, 170),
    south=st.floats(-80, 70),
    size=st.tuples(st.floats(1e-3, 10), st.floats(1e-3, 10)),
    pixels=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    share=st.sampled_from([0.0, 1e-9, 1e-3, 0.5, 0.999]),
)
def test_the_pixels_cover_the_box_and_no_more_than_needed(west, south, size, pixels, share):
    size = np.array(size) / pixels
    east, north = np.array([west, south]) + (np.array(pixels) - share) * size
    grid = embed_grid(Counting(), (west, south, east, north), size.tolist())
    reached = grid.x.values[-1] + size[0] / 2, grid.y.values[-1] - size[1] / 2
    tolerance = 2e-6 * size + 1e-12
    assert -tolerance[0] < reached[0] - east < (1 - 1e-7) * size[0]
    assert -tolerance[1] < south - reached[1] < (1 - 1e-7) * size[1]
    assert grid.x.values[0] - size[0] / 2 == pytest.approx(west, abs=1e-12)
    assert grid.y.values[0] + size[1] / 2 == pytest.approx(north, abs=1e-12)


@pytest.mark.parametrize("resolution", [0.1, 0.3, 1 / 3, 0.7 / 7, 45])
def test_decimals_that_divide_the_globe_make_whole_pixels(resolution):
    grid = embed_grid(Counting(), (-180, -90, 180, 90), resolution, chunks=10**6)
    assert grid.shape == (2, round(180 / resolution), round(360 / resolution))


def test_a_map_across_the_antimeridian_goes_on_beyond_180():
    encoder = SphericalHarmonicsEncoder(degree=2)
    grid = embed_grid(encoder, (170, -20, -170, 0), 1)
    np.testing.assert_array_equal(grid.x, 170.5 + np.arange(20))
    same = embed_grid(encoder, (170, -20, 190, 0), 1)
    np.testing.assert_array_equal(grid, same)
    points = np.array([[-179.6, -3.2], [175.2, -19.9], [180.0, -0.5], [-171.0, -10.0]])
    nearest = [[-179.5, -3.5], [175.5, -19.5], [-179.5, -0.5], [-170.5, -10.5]]
    values = EmbeddingRasterSampler(ArraySource(grid)).transform(points)
    np.testing.assert_allclose(values, encoder.transform(nearest), atol=1e-6)


def test_the_map_is_read_back_at_points():
    encoder = SphericalHarmonicsEncoder(degree=5)
    grid = embed_grid(encoder, BOX, (0.01, 0.02))
    rng = np.random.default_rng(0)
    column, row = rng.integers(0, 300, 500), rng.integers(0, 100, 500)
    centre = np.column_stack([4 + 0.01 * (column + 0.5), 52 - 0.02 * (row + 0.5)])
    points = centre + rng.uniform(-0.49, 0.49, (500, 2)) * [0.01, 0.02]
    sampler = EmbeddingRasterSampler(ArraySource(grid), on_missing="raise")
    assert sampler.get_feature_names_out().tolist() == encoder.get_feature_names_out().tolist()
    np.testing.assert_allclose(sampler.transform(points), encoder.transform(centre), atol=1e-6)
    np.testing.assert_array_equal(embed_grid(sampler, BOX, (0.01, 0.02)), grid)


def test_the_reference_system_is_where_others_look_for_it():
    from pyproj import CRS

    grid = embed_grid(CartesianEncoder(), BOX, (0.5, 0.25))
    said = grid.spatial_ref.attrs
    assert CRS.from_wkt(said["crs_wkt"]) == CRS.from_epsg(4326)
    assert CRS.from_cf(said) == CRS.from_epsg(4326)
    assert said["grid_mapping_name"] == "latitude_longitude"
    assert said["GeoTransform"] == "4.0 0.5 0.0 52.0 0.0 -0.25"
    assert grid.encoding["grid_mapping"] == "spatial_ref"
    assert grid.x.attrs["units"] == "degrees_east"
    assert grid.y.attrs["standard_name"] == "latitude"


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of rioxarray
@pytest.mark.parametrize("chunks", [None, 3])
def test_rioxarray_knows_the_place_and_writes_the_map(tmp_path, chunks):
    pytest.importorskip("rioxarray")
    import rasterio

    grid = embed_grid(CartesianEncoder(), BOX, (0.5, 0.25), chunks=chunks)
    assert grid.rio.crs.to_epsg() == 4326
    assert grid.rio.transform() == rasterio.Affine(0.5, 0, 4, 0, -0.25, 52)
    assert grid.rio.bounds() == BOX
    grid.rio.to_raster(tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as file:
        np.testing.assert_array_equal(file.read(), grid)


def test_a_lazy_map_is_computed_when_asked_and_is_the_same():
    pytest.importorskip("dask")
    embedder = Counting(3)
    lazy = embed_grid(embedder, BOX, 0.1, chunks=(7, 11), progress=True)
    assert embedder.calls == []
    assert lazy.chunks == ((3,), (7, 7, 6), (11, 11, 8))
    np.testing.assert_array_equal(lazy, embed_grid(Counting(3), BOX, 0.1))
    part = embed_grid(SphericalHarmonicsEncoder(degree=4), BOX, 0.1, chunks=8)
    whole = embed_grid(SphericalHarmonicsEncoder(degree=4), BOX, 0.1)
    assert part.dtype == np.float32
    np.testing.assert_array_equal(part[:, 9, 9].compute(), whole[:, 9, 9])
    np.testing.assert_array_equal(part, whole)


def test_without_dask_chunks_are_computed_at_once(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    grid = embed_grid(CartesianEncoder(), BOX, 0.1, chunks=8)
    assert grid.chunks is None
    np.testing.assert_array_equal(grid, embed_grid(CartesianEncoder(), BOX, 0.1))


def test_pixels_are_embedded_in_blocks(monkeypatch):
    embedder = Counting(4)
    monkeypatch.setattr(_embed_grid, "_BLOCK_BYTES", 8 * 4 * 100)
    grid = embed_grid(embedder, BOX, 0.1)
    assert embedder.calls == [100] * 6
    np.testing.assert_allclose(grid[2], np.broadcast_to(grid.x, (20, 30)), rtol=1e-6)


def test_a_map_beyond_the_memory_is_refused_before_the_work():
    embedder = Counting(512)
    with pytest.raises(LimitError, match=r"embed_grid would return .* x 512 values.*chunks="):
        embed_grid(embedder, (-180, -90, 180, 90), 0.01)
    assert embedder.calls == []


def test_a_lazy_map_beyond_the_memory_is_read_in_parts():
    pytest.importorskip("dask")
    lazy = embed_grid(Counting(512), (-180, -90, 180, 90), 0.01, chunks=(20, 3000))
    assert lazy.nbytes > 2**40
    assert lazy[:2, -1, 7].values == pytest.approx([-179.925, -89.995])


def test_a_progress_bar_counts_pixels(capsys):
    embed_grid(CartesianEncoder(), BOX, 0.1, progress=True)
    shown = capsys.readouterr().err
    assert "embedding pixels" in shown
    assert "600/600" in shown
    embed_grid(CartesianEncoder(), BOX, 0.1, progress=False)
    embed_grid(CartesianEncoder(), BOX, 0.1)
    assert capsys.readouterr().err == ""


def test_what_an_embedder_was_fitted_on_does_not_matter():
    frame = pd.DataFrame({"lon": [5.0, 6.0], "lat": [51.0, 52.0], "height": [1.0, 2.0]})
    encoder = CartesianEncoder().set_output(transform="pandas").fit(frame)
    grid = embed_grid(encoder, BOX, 0.5)
    np.testing.assert_array_equal(grid, embed_grid(CartesianEncoder(), BOX, 0.5))
    assert encoder.n_features_in_ == 3
    assert encoder.feature_names_in_.tolist() == list(frame)


def test_what_the_parts_of_a_pipeline_were_fitted_on_does_not_matter():
    frame = pd.DataFrame({"lon": [5.0, 6.0], "lat": [51.0, 52.0], "height": [1.0, 2.0]})
    union = make_union(CartesianEncoder(), SphericalHarmonicsEncoder(degree=1))
    pipeline = make_pipeline(union, PCA(2)).fit(frame)
    plain = clone(pipeline).fit(frame.iloc[:, :2].to_numpy())
    np.testing.assert_allclose(
        embed_grid(pipeline, BOX, 0.5), embed_grid(plain, BOX, 0.5), atol=1e-6
    )
    assert pipeline[0].transformer_list[0][1].n_features_in_ == 3


def test_a_pipeline_makes_a_map_of_what_it_ends_with(points):
    pipeline = make_pipeline(SphericalHarmonicsEncoder(degree=4), PCA(3)).fit(points)
    grid = embed_grid(pipeline, BOX, 0.5)
    assert grid.band.values.tolist() == ["pca0", "pca1", "pca2"]
    expected = pipeline.transform([[4.25, 51.75]])[0]
    np.testing.assert_allclose(grid[:, 0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    "bounds",
    [
        (4, 52, 7, 50),
        (4, 50, 4, 52),
        (4, 50, 7, 90.1),
        (-180, 0, 180.1, 1),
        (0, 0, np.nan, 1),
        (0, 0, np.inf, 1),
        (500, 0, 100, 1),
    ],
)
def test_boxes_that_are_no_map_are_refused(bounds):
    with pytest.raises(ValueError, match="bounds are west, south, east, north in degrees"):
        embed_grid(Counting(), bounds, 0.5)


@pytest.mark.parametrize("resolution", [0, -1, np.nan, np.inf, (0.5, 0)])
def test_pixels_need_a_size(resolution):
    with pytest.raises(ValueError, match="resolution must be above 0"):
        embed_grid(Counting(), BOX, resolution)


@pytest.mark.parametrize("bounds", [(-180, -90, -170, 90), (-180, 0, 180, 7)])
def test_pixels_beyond_a_pole_or_around_the_globe_again_are_refused(bounds):
    with pytest.raises(ValueError, match="reach beyond the globe"):
        embed_grid(Counting(), bounds, 0.7)


def test_other_things_are_refused_in_plain_words():
    with pytest.raises(ValueError, match="dtype must be 'float32' or 'float64', got 'int8'"):
        embed_grid(Counting(), BOX, 1, dtype="int8")
    for thing in (CartesianEncoder, "satclip"):
        with pytest.raises(TypeError, match="embedder must be a transformer object"):
            embed_grid(thing, BOX, 1)
    assert not issubclass(HarmonicFeatures, LocationTransformer)
