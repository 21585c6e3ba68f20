"""scikit-learn's own checks on every public transformer, with nothing excused."""

import pytest
from sklearn.utils import estimator_checks as checks

import geofeat
from geofeat import all_transformers
from tests.examples import examples_of

TRANSFORMERS = [example for name, kind in all_transformers() for example in examples_of(name, kind)]

# The suite feeds numbers around 100 as latitudes and series without dates: the words about it are
# tested elsewhere.
pytestmark = [
    pytest.mark.filterwarnings("ignore::geofeat.exceptions.CoordinateWarning"),
    pytest.mark.filterwarnings("ignore::geofeat.exceptions.CoverageWarning"),
    pytest.mark.filterwarnings("ignore::geofeat.exceptions.TimesWarning"),
]

# Public checks that the suite does not yield by itself.
FURTHER_CHECKS = [
    checks.check_dataframe_column_names_consistency,
    checks.check_global_output_transform_pandas,
    checks.check_global_set_output_transform_polars,
    checks.check_param_validation,
    checks.check_set_output_transform,
    checks.check_set_output_transform_pandas,
    checks.check_set_output_transform_polars,
    checks.check_transformer_get_feature_names_out,
    checks.check_transformer_get_feature_names_out_pandas,
]


@checks.parametrize_with_checks(TRANSFORMERS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# These checks fit on arrays and transform frames, or the reverse.
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names:UserWarning")
@pytest.mark.parametrize("check", FURTHER_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("estimator", TRANSFORMERS, ids=repr)
def test_further_public_checks(estimator, check):
    check(type(estimator).__name__, estimator)


def test_every_transformer_is_public_and_found():
    names = {name for name, _ in all_transformers()}
    public_classes = {
        name
        for name in geofeat.__all__
        if name.endswith(("Encoder", "Features", "Embedder", "Sampler"))
    }
    assert names == public_classes
