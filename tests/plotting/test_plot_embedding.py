"""plot_embedding and plot_feature: what is drawn, where, in which colours."""

import builtins
import subprocess
import sys
import warnings

import geopandas
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer

from geofeat import (
    ArraySource,
    CartesianEncoder,
    EmbeddingRasterSampler,
    SphericalHarmonicsEncoder,
    embed_grid,
)
from geofeat.exceptions import LimitError
from geofeat.plotting import _plot_embedding, _vectors, pca_rgb, plot_embedding, plot_feature

HARMONICS = SphericalHarmonicsEncoder(degree=4)
NORWAY = (4.0, 58.0, 12.0, 63.0)


def raster(values, west=0.0, north=60.0, size=1.0):
    values = np.asarray(values, dtype=np.float32)
    n_bands, n_rows, n_columns = values.shape
    return xr.DataArray(
        values,
        coords={
            "band": [f"b{band}" for band in range(n_bands)],
            "y": north - (np.arange(n_rows) + 0.5) * size,
            "x": west + (np.arange(n_columns) + 0.5) * size,
        },
        dims=("band", "y", "x"),
    )


@pytest.fixture
def holey():
    values = np.random.default_rng(0).normal(size=(5, 8, 10))
    values[:, 2, 3] = np.nan
    values[1, 4, 5] = np.nan
    return raster(values)


def pixels(ax):
    return np.ma.filled(ax.images[-1].get_array().astype(float), np.nan)


# Maps of transformers


def test_a_map_has_the_colours_of_its_pixels():
    ax = plot_embedding(HARMONICS, bounds=NORWAY, resolution=0.5)
    image = pixels(ax)
    assert image.shape == (10, 16, 4)
    assert_array_equal(image[..., 3], 1)
    assert tuple(ax.images[-1].get_extent()) == (4, 12, 58, 63)
    grid = embed_grid(HARMONICS, NORWAY, 0.5, dtype="float64")
    assert_allclose(image[..., :3], pca_rgb(grid), atol=1e-6)
    assert ax.get_aspect() == pytest.approx(1 / np.cos(np.radians(60.5)))


def test_a_feature_has_the_values_of_its_pixels():
    ax = plot_feature(HARMONICS, "sh_l2_m-1", bounds=NORWAY, resolution=0.5)
    lon, lat = 4 + 0.5 * 7.5, 63 - 0.5 * 2.5
    expected = HARMONICS.transform([[lon, lat]])[0, 4 + 1]
    assert pixels(ax)[2, 7] == pytest.approx(expected, abs=1e-12)
    assert ax.images[-1].colorbar.ax.get_ylabel() == "sh_l2_m-1"


def test_the_world_is_the_default():
    ax = plot_feature(CartesianEncoder(), "z")
    assert pixels(ax).shape == (180, 360)
    assert tuple(ax.images[-1].get_extent()) == (-180, 180, -90, 90)
    assert ax.get_aspect() == 1
    assert pixels(ax)[0, 0] == pytest.approx(np.sin(np.radians(89.5)))


def test_a_map_across_the_antimeridian():
    ax = plot_feature(CartesianEncoder(), "y", bounds=(170, -10, -170, 10), resolution=1.0)
    assert pixels(ax).shape == (20, 20)
    assert pixels(ax)[10, 0] > 0 > pixels(ax)[10, -1]
    assert ax.get_xlim() == (170, 190)


# Globes


@pytest.mark.parametrize(("lat", "sign"), [(90.0, 1), (-90.0, -1)])
def test_z_over_a_pole_is_the_height_of_the_sphere(lat, sign):
    ax = plot_feature(CartesianEncoder(), "z", projection="globe", center=(30.0, lat))
    image = pixels(ax)
    assert image.shape == (400, 400)
    across = (np.arange(400) + 0.5) / 200 - 1
    x, y = np.meshgrid(across, across)
    inside = x**2 + y**2 < 1
    assert_allclose(image[inside], sign * np.sqrt(1 - (x**2 + y**2)[inside]), atol=1e-9)
    assert np.isnan(image[0, 0])


def test_a_globe_shows_east_on_the_right_and_north_above():
    ax = plot_feature(CartesianEncoder(), "y", projection="globe", resolution=5.0)
    assert pixels(ax)[11, -2] > 0.85
    ax = plot_feature(CartesianEncoder(), "z", projection="globe", resolution=5.0)
    assert pixels(ax)[1, 11] > 0.85


def test_a_globe_is_a_disk_without_ticks():
    ax = plot_embedding(HARMONICS, projection="globe", center=(10, 50), resolution=2.0)
    image = pixels(ax)
    side = image.shape[0]
    assert set(np.unique(image[..., 3])) == {0, 1}
    assert image[..., 3].mean() == pytest.approx(np.pi / 4, abs=4 / side)
    assert not ax.axison
    assert ax.images[-1].get_clip_path() is not None
    assert len(ax.patches) == 1  # the outline
    lines = np.concatenate([line.get_xydata() for line in ax.lines])  # the graticule
    assert np.nanmax(np.hypot(*lines.T)) <= 1 + 1e-9


def test_bounds_are_of_maps_and_centres_of_globes():
    with pytest.raises(ValueError, match="bounds"):
        plot_embedding(HARMONICS, projection="globe", bounds=NORWAY)
    with pytest.raises(ValueError, match="projection='globe'"):
        plot_embedding(HARMONICS, center=(10, 50))
    with pytest.raises(ValueError, match="projection must be"):
        plot_embedding(HARMONICS, projection="mollweide")


# Samplers: places without a value


def test_pixels_without_a_value_are_transparent_and_not_warned_of(holey):
    sampler = EmbeddingRasterSampler(ArraySource(holey, crs="EPSG:4326"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = plot_embedding(sampler, bounds=(-1, 51, 11, 61), resolution=1.0)
        feature = plot_feature(sampler, "b1", bounds=(-1, 51, 11, 61), resolution=1.0)
    alpha = pixels(ax)[..., 3]
    assert alpha.sum() == 78
    assert alpha[3, 4] == alpha[5, 6] == 0
    assert_array_equal(np.isnan(pixels(feature)), alpha == 0)
    assert feature.images[-1].get_cmap().get_bad()[3] == 0
    inner = pixels(ax)[1:9, 1:11, :3]
    assert_allclose(inner[alpha[1:9, 1:11] == 1], pca_rgb(holey)[alpha[1:9, 1:11] == 1], atol=1e-6)


def test_a_picture_of_nothing_is_an_error_without_a_figure(holey):
    sampler = EmbeddingRasterSampler(ArraySource(holey, crs="EPSG:4326"))
    for draw in (plot_embedding, plot_feature):
        with pytest.raises(ValueError, match=r"bounds="):
            draw(sampler, bounds=(100, 0, 101, 1))
    assert plt.get_fignums() == []


# Pipelines, and what they were fitted on


def test_pixels_are_not_compared_with_the_table_of_the_fit():
    table = pd.DataFrame({"lon": [5.0, 6, 7, 8], "lat": [50.0, 51, 53, 52], "height": [1, 2, 3, 4]})
    union = make_union(clone(HARMONICS), make_pipeline(CartesianEncoder(), PCA(2)))
    pipeline = make_pipeline(union, PCA(3)).fit(table)
    before = pipeline[0].transformer_list[0][1].n_features_in_
    ax = plot_feature(pipeline, "pca1", bounds=NORWAY, resolution=1.0)
    expected = pipeline.set_params().transform(table.assign(lon=4.5, lat=62.5))[0, 1]
    assert pixels(ax)[0, 0] == pytest.approx(expected, abs=1e-9)
    assert pipeline[0].transformer_list[0][1].n_features_in_ == before


def test_frames_and_missing_names_come_out_of_transformers():
    frames = CartesianEncoder().set_output(transform="pandas")
    assert pixels(plot_feature(frames, "z", bounds=NORWAY, resolution=1.0)).shape == (5, 8)
    nameless = make_pipeline(CartesianEncoder(), FunctionTransformer(lambda X: X[:, ::-1]))
    ax = plot_feature(nameless, 0, bounds=NORWAY, resolution=1.0)
    assert pixels(ax)[0, 0] == pytest.approx(np.sin(np.radians(62.5)))
    assert ax.images[-1].colorbar.ax.get_ylabel() == "feature 0"
    with pytest.raises(ValueError, match="no names"):
        plot_feature(nameless, "z")


def test_an_unfitted_pipeline_says_so():
    with pytest.raises(NotFittedError):
        plot_embedding(make_pipeline(CartesianEncoder(), PCA(2)))


def test_wide_embeddings_are_coloured_in_bounded_memory(monkeypatch):
    whole = pixels(plot_embedding(HARMONICS, resolution=5.0))
    monkeypatch.setattr(_vectors, "_BLOCK_BYTES", 25 * 8 * 100)
    assert_allclose(pixels(plot_embedding(HARMONICS, resolution=5.0)), whole, atol=1e-9)
    monkeypatch.setattr(_plot_embedding, "_FIT_BYTES", 25 * 8 * 700)
    thinned = pixels(plot_embedding(HARMONICS, resolution=5.0))
    assert 0 < np.abs(thinned - whole).mean() < 0.05


def test_a_picture_has_a_bounded_size():
    with pytest.raises(LimitError, match="coarser"):
        plot_embedding(HARMONICS, resolution=0.01)


# Maps in xarray


@pytest.mark.parametrize("turn", ["as it is", "south up", "west last", "bands last", "lonlat"])
def test_maps_are_drawn_north_up(holey, turn):
    turned = {
        "south up": lambda a: a.isel(y=slice(None, None, -1)),
        "west last": lambda a: a.isel(x=slice(None, None, -1)),
        "bands last": lambda a: a.transpose("x", "y", "band"),
        "lonlat": lambda a: a.rename(x="longitude", y="Lat"),
    }.get(turn, lambda a: a)(holey)
    ax = plot_embedding(turned)
    assert tuple(ax.images[-1].get_extent()) == (0, 10, 52, 60)
    assert_allclose(pixels(ax)[..., 3], ~np.isnan(pca_rgb(holey))[..., 0])
    feature = plot_feature(turned, "b3")
    assert_allclose(pixels(feature), holey.values[3], atol=1e-6)


def test_a_map_is_cut_by_bounds(holey):
    ax = plot_feature(holey, 0, bounds=(2, 53, 5, 58))
    assert tuple(ax.images[-1].get_extent()) == (2, 5, 53, 58)
    assert_allclose(pixels(ax), holey.values[0, 2:7, 2:5], atol=1e-6)
    with pytest.raises(ValueError, match="no pixel within"):
        plot_feature(holey, 0, bounds=(50, 53, 51, 58))


def test_a_map_of_the_world_is_cut_across_the_antimeridian():
    world = embed_grid(CartesianEncoder(), (-180, -90, 180, 90), 10.0)
    ax = plot_feature(world, "y", bounds=(170, -20, -170, 20))
    assert tuple(ax.images[-1].get_extent()) == (170, 190, -20, 20)
    assert (pixels(ax)[:, 0] > 0).all()
    assert (pixels(ax)[:, 1] < 0).all()


def test_a_map_is_seen_on_a_globe(holey):
    world = embed_grid(CartesianEncoder(), (-180, -90, 180, 90), 1.0)
    ax = plot_feature(world, "z", projection="globe", center=(20, 90), resolution=1.0)
    direct = plot_feature(
        CartesianEncoder(), "z", projection="globe", center=(20, 90), resolution=1.0
    )
    assert_allclose(pixels(ax), pixels(direct), atol=0.02)
    part = plot_embedding(holey, projection="globe", center=(5, 56))
    assert 0 < pixels(part)[..., 3].mean() < 0.05


def test_large_and_lazy_maps_are_thinned():
    dask = pytest.importorskip("dask.array")
    ramp = dask.ones((2, 3000, 4000), chunks=500) * dask.arange(4000, chunks=500)
    grid = xr.DataArray(
        ramp,
        coords={"y": 50 - np.arange(3000) / 1000, "x": np.arange(4000) / 1000},
        dims=("band", "y", "x"),
    )
    ax = plot_feature(grid, 1)
    assert pixels(ax).shape == (750, 1000)
    assert_array_equal(pixels(ax)[0], np.arange(2, 4000, 4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.isel(band=0), "got dimensions"),
        (lambda a: a.drop_vars("x"), "with coordinates y and x"),
        (lambda a: a.rename(x="east"), "got dimensions"),
        (lambda a: a.assign_coords(x=a.x * 1000, y=a.y * 1e5), "EPSG:4326"),
        (lambda a: a.assign_coords(x=a.x**2), "equally spaced"),
        (lambda a: a.isel(x=[0]), "equally spaced"),
    ],
)
def test_other_arrays_are_refused(holey, change, message):
    with pytest.raises(ValueError, match=message):
        plot_embedding(change(holey))


def test_a_data_set_is_no_map(holey):
    with pytest.raises(TypeError, match="one of its variables"):
        plot_embedding(holey.to_dataset(name="embedding"))


def test_a_map_has_its_own_resolution(holey):
    with pytest.raises(ValueError, match="resolution"):
        plot_embedding(holey, resolution=1.0)


# Points


@pytest.fixture
def plots():
    rng = np.random.default_rng(0)
    lonlat = rng.uniform([5, 51], [7, 53], (30, 2))
    return geopandas.GeoDataFrame(
        {"id": range(30)}, geometry=geopandas.points_from_xy(*lonlat.T), crs="EPSG:4326"
    )


def test_points_are_dots_in_the_colours_of_their_vectors(plots):
    lonlat = plots.get_coordinates().to_numpy()
    vectors = HARMONICS.transform(lonlat)
    vectors[3] = np.nan
    ax = plot_embedding(vectors, plots.to_crs(32631))
    drawn = ax.collections[-1]
    kept = np.arange(30) != 3
    assert_allclose(drawn.get_offsets(), lonlat[kept], atol=1e-7)
    assert_allclose(drawn.get_facecolors()[:, :3], pca_rgb(vectors)[kept], atol=1e-12)
    feature = plot_feature(vectors, 5, lonlat)
    assert_allclose(feature.collections[-1].get_array(), vectors[kept, 5])


def test_a_transformer_is_computed_at_points(plots):
    by_hand = plot_feature(HARMONICS.transform(plots), 7, plots).collections[-1]
    drawn = plot_feature(HARMONICS, "sh_l2_m1", plots)
    assert_array_equal(drawn.collections[-1].get_array(), by_hand.get_array())
    assert drawn.collections[-1].colorbar.ax.get_ylabel() == "sh_l2_m1"


def test_a_table_of_vectors_has_names(plots):
    table = pd.DataFrame(HARMONICS.transform(plots)[:, :3], columns=["a", "b", "c"])
    assert_array_equal(plot_feature(table, "b", plots).collections[-1].get_array(), table.b)


def test_the_far_half_of_a_globe_hides_its_points():
    lonlat = np.array([[0.0, 0.0], [180.0, 0.0], [45.0, 0.0]])
    ax = plot_feature(np.array([[1.0], [2.0], [3.0]]), 0, lonlat, projection="globe")
    offsets = np.ma.filled(ax.collections[-1].get_offsets(), np.nan)
    assert_allclose(offsets[[0, 2]], [[0, 0], [np.sqrt(0.5), 0]], atol=1e-12)
    assert np.isnan(offsets[1]).all()


@pytest.mark.parametrize("vectors", [np.zeros((29, 3)), np.zeros(30), np.zeros((30, 0))])
def test_every_point_has_a_vector(plots, vectors):
    with pytest.raises(ValueError, match=r"\(30, d\)"):
        plot_embedding(vectors, plots)


@pytest.mark.parametrize("embedding", [np.zeros((3, 2)), "satclip", CartesianEncoder, None])
def test_what_cannot_be_drawn_is_named(embedding):
    with pytest.raises(TypeError, match=f"got a {type(embedding).__name__} without X"):
        plot_embedding(embedding)


# Features and their colours


@pytest.mark.parametrize(("feature", "message"), [("sh_l2_m9", "sh_l2_m"), (25, "25"), (-26, "25")])
def test_a_feature_that_is_not_there(feature, message):
    with pytest.raises(ValueError, match=message):
        plot_feature(HARMONICS, feature)


@pytest.mark.parametrize("feature", [1.0, True, None, [1]])
def test_a_feature_is_a_position_or_a_name(feature):
    with pytest.raises(TypeError, match="position or a name"):
        plot_feature(HARMONICS, feature)


def test_positions_count_from_both_ends():
    ax = plot_feature(CartesianEncoder(), np.int64(-1), resolution=10.0)
    assert ax.images[-1].colorbar.ax.get_ylabel() == "z"


def test_both_signs_are_equally_far_from_white():
    values, lonlat = np.array([[-1.0], [0.5], [3.0]]), np.array([[0.0, 0], [1, 0], [2, 0]])

    def style(scale=1.0, shift=0.0, **given):
        drawn = plot_feature(values * scale + shift, 0, lonlat, **given).collections[-1]
        return drawn.get_cmap().name, *drawn.get_clim()

    assert style() == ("RdBu_r", -3, 3)
    assert style(-1.0) == ("RdBu_r", -3, 3)
    assert style(vmax=2.0) == ("RdBu_r", -2, 2)
    assert style(vmin=-0.5) == ("RdBu_r", -0.5, 0.5)
    assert style(vmin=-0.5, vmax=2.0) == ("RdBu_r", -0.5, 2.0)
    assert style(vmin=0.0) == ("viridis", 0, 3)
    assert style(shift=1.0) == ("viridis", 0, 4)
    assert style(shift=-3.0) == ("viridis", -4, 0)
    assert style(cmap="magma") == ("magma", -1, 3)
    for constant in (0.0, 2.0, -2.0):
        name, low, high = style(scale=0.0, shift=constant)
        assert name == "viridis"
        assert low < constant < high


def test_rounding_is_no_sign():
    values = np.array([[-1e-17], [0.5], [3.0]])
    drawn = plot_feature(values, 0, np.zeros((3, 2)))
    assert drawn.collections[-1].get_cmap().name == "viridis"


def test_infinite_values_are_left_out():
    drawn = plot_feature(np.array([[np.inf], [0.5], [3.0]]), 0, np.zeros((3, 2)))
    assert_array_equal(drawn.collections[-1].get_array(), [0.5, 3.0])


# Axes and figures


def test_given_axes_are_drawn_on_without_pyplot():
    ax, other = Figure().subplots(1, 2)
    assert plot_embedding(HARMONICS, ax=ax, resolution=10.0) is ax
    assert plot_feature(HARMONICS, ax=other, resolution=10.0, colorbar=False) is other
    assert len(ax.figure.axes) == 2
    assert other.images[-1].colorbar is None
    assert plt.get_fignums() == []
    with pytest.raises(TypeError, match="got a Figure"):
        plot_embedding(HARMONICS, ax=Figure(), resolution=10.0)


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"geofeat\[plot\]"):
        plot_embedding(HARMONICS, resolution=10.0)
    assert pca_rgb(np.eye(3)).shape == (3, 3)


def test_importing_the_room_loads_no_matplotlib():
    code = "import sys, geofeat.plotting; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
