"""Outputs beyond the memory."""

from pathlib import Path

import numpy as np
import pytest

from geofeat import SphericalHarmonicsEncoder
from geofeat.exceptions import LimitError


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="free memory is not known here")
def test_an_output_beyond_the_memory_is_refused_before_the_work():
    X = np.broadcast_to([[5.0, 52.0]], (5_000_000, 2))
    with pytest.raises(LimitError, match=r"5000000 x 40401 values, .* GiB.*transform_chunks"):
        SphericalHarmonicsEncoder(degree=200).transform(X)
