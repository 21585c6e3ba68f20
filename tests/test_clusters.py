"""Functions of the page on clusters, taken out of it, on the batches that Spark and Ray make."""

import doctest
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from geofeat import EmbeddingRasterSampler, SphericalHarmonicsEncoder
from tests.examples import world_raster

PAGE = Path(__file__).parents[1] / "docs" / "user_guide" / "clusters.md"


@pytest.fixture(scope="module")
def recipes():
    """What the examples of the page define."""
    parsed = doctest.DocTestParser().get_doctest(PAGE.read_text(), {}, "clusters", str(PAGE), 0)
    flags = doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(optionflags=flags)
    assert runner.run(parsed, clear_globs=False).failed == 0
    return parsed.globs


@pytest.fixture
def table():
    rng = np.random.default_rng(11)
    return pd.DataFrame(
        {
            "note": "none",
            "plot": rng.permutation(500),
            "lat": rng.uniform(-80, 80, 500),
            "lon": rng.uniform(-180, 180, 500),
        }
    )


def frames(table):
    """Arrow batches have an index of their own, and a partition may be empty."""
    for start, stop in ((0, 200), (200, 200), (200, 201), (201, 500)):
        yield table[start:stop].reset_index(drop=True)


def test_map_in_pandas_keeps_rows_and_matches_its_schema(recipes, table):
    encoded = pd.concat(recipes["encode_frames"](frames(table)), ignore_index=True)
    fields = [field.rsplit(" ", 1) for field in recipes["schema"].split(", ")]
    assert [name.strip("`") for name, _ in fields] == list(encoded.columns)
    spark = {"long": "int64", "double": "float64"}
    assert [spark[kind] for _, kind in fields] == [str(dtype) for dtype in encoded.dtypes]
    assert_array_equal(encoded["plot"], table["plot"])
    expected = SphericalHarmonicsEncoder(degree=2).transform(table[["lon", "lat"]])
    assert_array_equal(encoded.iloc[:, 1:], expected)
    assert not list(recipes["encode_frames"](iter([])))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_map_batches_adds_a_column_of_vectors(recipes, table, dtype):
    sampler = EmbeddingRasterSampler(world_raster())
    for transformer in (SphericalHarmonicsEncoder(degree=3), sampler):
        encode = recipes["EncodeBatch"](pickle.loads(pickle.dumps(transformer)))
        batches = [
            {name: column.to_numpy() for name, column in frame.items()} for frame in frames(table)
        ]
        for batch in batches:
            batch["lon"], batch["lat"] = batch["lon"].astype(dtype), batch["lat"].astype(dtype)
        encoded = [encode(batch) for batch in batches]
        assert all(len(part["features"]) == len(part["plot"]) for part in encoded)
        features = np.concatenate([part["features"] for part in encoded if len(part["plot"])])
        places = table[["lon", "lat"]].to_numpy(dtype)
        assert_allclose(features, transformer.transform(places), atol=1e-6)
