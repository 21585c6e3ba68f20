"""Outer products of rows against einsum."""

import array_api_strict
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.externals.array_api_compat import torch as torch_namespace

from geofeat.kernels._row_products import row_products


@pytest.mark.parametrize("widths", [(1, 1), (3, 2), (2, 17), (36, 3)])
@pytest.mark.parametrize("xp", [np, array_api_strict, torch_namespace])
def test_products_are_those_of_einsum(widths, xp):
    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=(11, width)) for width in widths)
    left[4, 0] = np.nan
    expected = np.einsum("na,nb->nab", left, right).reshape(11, -1)
    products = row_products(xp.asarray(left), xp.asarray(right), xp)
    assert_array_equal(np.asarray(products), expected)


def test_single_precision_is_rounded_once():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(9, 4)), rng.normal(size=(9, 3))
    out = np.empty((9, 12), dtype=np.float32)
    row_products(left, right, np, out=out)
    assert_array_equal(out, row_products(left, right, np).astype(np.float32))
