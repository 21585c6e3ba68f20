"""Transformers inside scikit-learn's pipelines, on arrays and on GeoDataFrames."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import sklearn
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from geofeat import EmbeddingRasterSampler, SphericalHarmonicsEncoder
from tests.examples import world_raster


@pytest.fixture
def plots():
    """A GeoDataFrame of 120 points with a height, in Web Mercator, and whether they lie north."""
    rng = np.random.default_rng(8)
    lonlat = np.column_stack([rng.uniform(-170, 170, 120), rng.uniform(-70, 70, 120)])
    frame = gpd.GeoDataFrame(
        {"height": rng.uniform(0, 1000, 120)},
        geometry=gpd.points_from_xy(*lonlat.T),
        crs="EPSG:4326",
        index=[f"plot{i}" for i in range(120)],
    )
    return frame.to_crs(3857), (lonlat[:, 1] > 0).astype(int), lonlat


def test_grid_search_over_the_degree_on_geometries_and_arrays(plots):
    gdf, north, lonlat = plots
    pipeline = make_pipeline(SphericalHarmonicsEncoder(), LogisticRegression(C=100))
    grid = {"sphericalharmonicsencoder__degree": [0, 1, 2]}
    on_geometry = GridSearchCV(pipeline, grid, cv=3).fit(gdf, north)
    on_array = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(lonlat, north)
    assert on_geometry.best_params_["sphericalharmonicsencoder__degree"] > 0
    assert on_geometry.best_score_ > 0.95
    assert_allclose(
        on_geometry.cv_results_["mean_test_score"], on_array.cv_results_["mean_test_score"]
    )


def test_column_transformer_on_a_geodataframe(plots):
    gdf, _, lonlat = plots
    combined = ColumnTransformer(
        [
            ("place", SphericalHarmonicsEncoder(degree=2), ["geometry"]),
            ("height", StandardScaler(), ["height"]),
        ]
    )
    features = combined.fit_transform(gdf)
    assert features.shape == (120, 10)
    assert_allclose(
        features[:, :9], SphericalHarmonicsEncoder(degree=2).transform(lonlat), atol=1e-9
    )
    assert combined.get_feature_names_out()[0] == "place__sh_l0_m0"
    assert combined.get_feature_names_out()[-1] == "height__height"


def test_column_transformer_on_columns_of_a_frame(plots):
    _, _, lonlat = plots
    frame = pd.DataFrame({"species": "oak", "lon": lonlat[:, 0], "lat": lonlat[:, 1]})
    combined = make_column_transformer((SphericalHarmonicsEncoder(degree=1), ["lon", "lat"]))
    assert_array_equal(
        combined.fit_transform(frame), SphericalHarmonicsEncoder(degree=1).transform(lonlat)
    )


def test_feature_union_of_encoder_and_sampler(plots):
    gdf, north, lonlat = plots
    union = FeatureUnion(
        [
            ("sh", SphericalHarmonicsEncoder(degree=1)),
            ("world", EmbeddingRasterSampler(world_raster())),
        ]
    )
    assert union.fit_transform(gdf).shape == (120, 7)
    assert_allclose(union.fit_transform(gdf), union.fit_transform(lonlat), atol=1e-6)
    scores = cross_val_score(make_pipeline(union, LogisticRegression(C=100)), gdf, north)
    assert scores.mean() > 0.9


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_set_output_names_columns_and_keeps_the_index(plots, container):
    gdf, _, lonlat = plots
    encoder = SphericalHarmonicsEncoder(degree=1).set_output(transform=container)
    for X in (gdf, gdf.geometry, lonlat):
        features = encoder.fit_transform(X)
        assert list(features.columns) == ["sh_l0_m0", "sh_l1_m-1", "sh_l1_m0", "sh_l1_m1"]
    if container == "pandas":
        assert list(encoder.fit_transform(gdf).index) == list(gdf.index)
        assert list(encoder.fit_transform(gdf.geometry).index) == list(gdf.index)


def test_pipeline_on_tensors_follows_their_namespace():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(-180, 180, 200), rng.uniform(-90, 90, 200)])
    y = np.sin(np.radians(X[:, 1]))
    pipeline = make_pipeline(SphericalHarmonicsEncoder(degree=2), Ridge(1e-8, solver="svd"))
    expected = pipeline.fit(X, y).predict(X)
    with sklearn.config_context(array_api_dispatch=True):
        tensors = torch.from_numpy(X), torch.from_numpy(y)
        predicted = pipeline.fit(*tensors).predict(tensors[0])
    assert isinstance(predicted, torch.Tensor)
    assert_allclose(predicted.numpy(), expected, atol=1e-9)
    assert_allclose(expected, y, atol=1e-6)


def test_xarray_apply_ufunc_maps_a_grid_of_places():
    encoder = SphericalHarmonicsEncoder(degree=2)
    lon, lat = np.meshgrid([0.0, 10.0, 20.0], [40.0, 50.0])
    grid = xr.DataArray(np.stack([lon, lat], axis=-1), dims=("y", "x", "axis"))
    features = xr.apply_ufunc(
        lambda cells: encoder.transform(cells.reshape(-1, 2)).reshape(*cells.shape[:-1], -1),
        grid,
        input_core_dims=[["axis"]],
        output_core_dims=[["feature"]],
    )
    assert features.dims == ("y", "x", "feature")
    assert_array_equal(features[1, 2], encoder.transform([[20.0, 50.0]])[0])
