"""ClimplicitEmbedder against the library rshf; months of every kind."""

import geopandas as gpd
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils._param_validation import InvalidParameterError

from geofeat import ClimplicitEmbedder
from geofeat.exceptions import CorruptFileError
from tests.embedders.networks import climplicit

POINTS = np.array([[5.7, 52.0], [-74.0, 40.7], [139.7, 35.7]])
MONTHS = [7, 1, 12]


@pytest.fixture
def tiny(golden):
    """The network that the golden numbers are of."""
    prefix = "climplicit_tiny/sd/"
    return {k.removeprefix(prefix): v for k, v in golden.items() if k.startswith(prefix)}


@pytest.fixture
def by_month():
    """Embeddings of the points in their months, one call a month."""
    return np.concatenate(
        [
            ClimplicitEmbedder(month=month, weights=climplicit()).transform(point[None])
            for point, month in zip(POINTS, MONTHS, strict=True)
        ]
    )


def test_equals_the_published_code_but_for_the_seam(golden, tiny):
    X = np.column_stack([golden["lonlat"], golden["climplicit_tiny/month"]])
    embeddings = ClimplicitEmbedder(month="column", weights=tiny).transform(X)
    here = X[:, 0] < 180  # the original gives 180 degrees another embedding than -180
    assert here.sum() == 62
    assert_allclose(embeddings[here], golden["climplicit_tiny/out"][here], rtol=1e-12, atol=1e-13)


def test_float32_is_close(golden, tiny):
    X = np.column_stack([golden["lonlat"], golden["climplicit_tiny/month"]])
    embedder = ClimplicitEmbedder(month="column", weights=tiny)
    exact = embedder.transform(X.astype(np.float32).astype(np.float64))
    embeddings = embedder.transform(X.astype(np.float32))
    assert embeddings.dtype == np.float32
    assert_allclose(embeddings, exact, rtol=0, atol=2e-6)


def test_without_a_month_four_stand_side_by_side():
    weights = climplicit()
    parts = [
        ClimplicitEmbedder(month=month, weights=weights).transform(POINTS)
        for month in (3, 6, 9, 12)
    ]
    embedder = ClimplicitEmbedder(weights=weights)
    assert_allclose(embedder.transform(POINTS), np.concatenate(parts, axis=1), rtol=1e-13)
    names = embedder.fit(POINTS).get_feature_names_out()
    assert names[[0, 5, 19]].tolist() == [
        "climplicit_m03_0",
        "climplicit_m06_0",
        "climplicit_m12_4",
    ]


DATES = ["2021-07-31", "1999-01-01", "1965-12-31T23:59"]


def tables():
    """The points and their months, in every form: settings of ``month``, then X."""
    frame = pd.DataFrame({"lon": POINTS[:, 0], "lat": POINTS[:, 1], "m": MONTHS})
    dated = frame.assign(m=pd.to_datetime(DATES, format="ISO8601"))
    objects = np.array([[*p, d] for p, d in zip(POINTS, dated["m"], strict=True)], dtype=object)
    geometry = gpd.points_from_xy(*POINTS.T)
    numbers = np.column_stack([POINTS, MONTHS])
    return {
        "array": ("column", numbers),
        "list": ("column", numbers.tolist()),
        "tensor": ("column", torch.from_numpy(numbers)),
        "objects with dates": ("column", objects),
        "third column": ("column", frame),
        "third column, text name": ("column", frame.assign(species="oak")),
        "by name": ("m", frame[["lon", "lat"]].assign(z=0.0, m=MONTHS)),
        "nullable": ("m", frame.astype({"m": "Int64"})),
        "dates": ("m", dated),
        "dates with a zone": ("m", dated.assign(m=dated["m"].dt.tz_localize("UTC"))),
        "periods": ("m", dated.assign(m=dated["m"].dt.to_period("M"))),
        "arrow dates": ("m", dated.astype({"m": "timestamp[us][pyarrow]"})),
        "polars": ("m", pl.DataFrame(frame)),
        "polars dates": ("column", pl.DataFrame(dated)),
        "GeoDataFrame": ("m", gpd.GeoDataFrame(frame[["m"]], geometry=geometry, crs="EPSG:4326")),
    }


@pytest.mark.parametrize("kind", list(tables()))
def test_every_row_has_its_month(kind, by_month):
    month, X = tables()[kind]
    embedder = ClimplicitEmbedder(month=month, weights=climplicit())
    for result in (embedder.transform(X), embedder.fit(X).transform(X)):
        assert_allclose(result, by_month, rtol=1e-12)
    assert len(embedder.get_feature_names_out()) == 5


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_months_of_tensors(by_month, dtype):
    X = torch.from_numpy(np.column_stack([POINTS, MONTHS])).to(dtype)
    embedder = ClimplicitEmbedder(month="column", weights=climplicit())
    with sklearn.config_context(array_api_dispatch=True):
        embeddings = embedder.transform(X)
    assert embeddings.dtype == dtype
    assert_allclose(embeddings, by_month, rtol=0, atol=1e-12 if dtype == torch.float64 else 5e-5)
    on_device = embedder.set_params(device="cpu").transform(X.numpy())
    assert_allclose(on_device, embeddings, rtol=0, atol=1e-12 if dtype == torch.float64 else 5e-6)


@pytest.mark.parametrize("missing", [np.nan, None, pd.NaT])
def test_a_missing_month_makes_its_row_nan(missing, by_month):
    months = pd.to_datetime(DATES, format="ISO8601") if missing is pd.NaT else MONTHS
    X = pd.DataFrame({"lon": POINTS[:, 0], "lat": POINTS[:, 1], "m": months})
    X.loc[1, "m"] = missing
    embeddings = ClimplicitEmbedder(month="m", weights=climplicit()).transform(X)
    assert np.isnan(embeddings[1]).all()
    assert_allclose(embeddings[[0, 2]], by_month[[0, 2]], rtol=1e-12)


def test_many_rows_in_chunks_and_threads_keep_their_months():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(-90, 90, (3000, 2)), rng.integers(1, 13, 3000)])
    embedder = ClimplicitEmbedder(month="column", weights=climplicit())
    whole = embedder.transform(X)
    for rows, block in embedder.transform_chunks(X, chunk_rows=700):
        assert_allclose(block, whole[rows], rtol=1e-11)
    assert_allclose(embedder.transform(X[2500:2501]), whole[2500:2501], rtol=1e-11)


@pytest.mark.parametrize("month", [0, 13, 6.5, -1, np.inf])
def test_other_numbers_are_no_months(month):
    embedder = ClimplicitEmbedder(month="column", weights=climplicit())
    X = np.column_stack([POINTS, [1, month, 2]])
    with pytest.raises(ValueError, match=r"months 1 to 12 or dates.*1 of 3 rows \(1\)"):
        embedder.transform(X)


@pytest.mark.parametrize(
    ("month", "X", "message"),
    [
        ("column", POINTS, r"third column.*got 2 column\(s\)"),
        ("column", gpd.GeoSeries.from_xy(*POINTS.T, crs="EPSG:4326"), "got GeoSeries"),
        ("m", np.column_stack([POINTS, MONTHS]), "an array without names"),
        ("m", pd.DataFrame(POINTS, columns=["lon", "lat"]), r"got columns \['lon', 'lat'\]"),
    ],
)
def test_a_column_that_is_not_there_is_an_error(month, X, message):
    with pytest.raises(ValueError, match=message):
        ClimplicitEmbedder(month=month, weights=climplicit()).transform(X)


def test_text_is_no_month():
    X = pd.DataFrame({"lon": [5.7], "lat": [52.0], "m": ["July"]})
    with pytest.raises(TypeError, match="July"):
        ClimplicitEmbedder(month="m", weights=climplicit()).transform(X)


@pytest.mark.parametrize("month", [0, 13, 6.5])
def test_months_as_parameters_are_checked(month):
    with pytest.raises(InvalidParameterError, match="month"):
        ClimplicitEmbedder(month=month, weights=climplicit()).transform(POINTS)


def test_layers_must_have_one_width():
    weights = climplicit() | {"layers.2.weight": np.ones((8, 9)), "layers.2.bias": np.ones(8)}
    with pytest.raises(CorruptFileError, match=r"'layers.2.weight' has shape \(8, 9\)"):
        ClimplicitEmbedder(weights=weights).transform(POINTS)


def test_the_seam_is_where_the_original_has_it():
    west, east = ClimplicitEmbedder(weights=climplicit()).transform([[-180, 7.0], [179.999, 7.0]])
    assert np.abs(west - east).max() > 1e-3
    same = ClimplicitEmbedder(weights=climplicit()).transform([[-180, 7.0], [180.0, 7.0]])
    assert_array_equal(same[0], same[1])
