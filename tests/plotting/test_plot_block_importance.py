"""plot_block_importance: bars as long as the numbers, the longest on top."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from sklearn.utils import Bunch

from geofeat.plotting import plot_block_importance

IMPORTANCE = Bunch(
    names=np.array(["place", "embedding", "noise"]),
    importances=np.array([[0.1, 0.2], [0.5, 0.3], [-0.01, -0.03]]),
    importances_mean=np.array([0.15, 0.4, -0.02]),
    importances_std=np.array([0.05, 0.1, 0.01]),
)


def test_bars_are_as_long_as_the_means_and_whiskers_as_the_deviations():
    ax = plot_block_importance(IMPORTANCE)
    bars = sorted(ax.patches, key=lambda bar: ax.transData.transform((0, bar.get_y()))[1])[::-1]
    assert_allclose([bar.get_width() for bar in bars], [0.4, 0.15, -0.02])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["embedding", "place", "noise"]
    (whiskers,) = ax.collections
    ends = np.array([segment[:, 0] for segment in whiskers.get_segments()])
    assert_allclose(ends, [[0.3, 0.5], [0.1, 0.2], [-0.03, -0.01]])
    assert "score lost" in ax.get_xlabel()


def test_a_mapping_serves_and_given_axes_are_drawn_on():
    ax = Figure().subplots()
    assert plot_block_importance(dict(IMPORTANCE), ax=ax) is ax
    assert len(ax.patches) == 3


@pytest.mark.parametrize("importance", [{"importances_mean": [1]}, [1.0, 2.0], None, 5])
def test_what_has_no_names_and_means_is_refused(importance):
    with pytest.raises(TypeError, match=f"got a {type(importance).__name__}"):
        plot_block_importance(importance)


def test_names_and_numbers_belong_together():
    with pytest.raises(ValueError, match="2 names, 3 means"):
        plot_block_importance(IMPORTANCE | {"names": ["a", "b"]})
