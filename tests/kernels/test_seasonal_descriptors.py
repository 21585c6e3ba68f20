"""Amplitude, phase and peak day of known waves."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from geofeat.kernels import _seasonal_descriptors as descriptors

PERIOD = 365.25


def describe(kind, cosine, sine, dtype=np.float64):
    out = np.empty((1, 1), dtype=dtype)
    coefficients = np.array([[99.0, cosine, sine]])
    descriptors.write_descriptors(
        coefficients, np.empty((1, 0)), np.array([kind]), np.array([1]), PERIOD, out
    )
    return out[0, 0]


@pytest.mark.parametrize("peak", [0.0, 50.0, 182.625, 200.0, 365.0])
def test_the_peak_of_a_sampled_wave(peak):
    angle = 2 * np.pi * peak / PERIOD
    cosine, sine = 0.4 * np.cos(angle), 0.4 * np.sin(angle)
    days = np.arange(0, PERIOD, 0.01)
    wave = cosine * np.cos(2 * np.pi * days / PERIOD) + sine * np.sin(2 * np.pi * days / PERIOD)
    found = describe(descriptors.PEAK_DAY, cosine, sine)
    assert found == pytest.approx(days[wave.argmax()], abs=0.01)
    assert describe(descriptors.AMPLITUDE, cosine, sine) == pytest.approx(0.4, rel=1e-15)
    direction = [
        describe(kind, cosine, sine) for kind in (descriptors.PHASE_COS, descriptors.PHASE_SIN)
    ]
    assert_allclose(direction, [np.cos(angle), np.sin(angle)], atol=1e-15)


def test_a_phase_just_below_zero_stays_below_the_period():
    assert describe(descriptors.PEAK_DAY, 1.0, -1e-17) == 0.0
    assert 0 <= describe(descriptors.PEAK_DAY, 1.0, -1e-13) < PERIOD
    assert describe(descriptors.PHASE, -1.0, 0.0) == np.pi


def test_no_wave_has_no_phase():
    for kind in (descriptors.PHASE, descriptors.PHASE_COS, descriptors.PEAK_DAY):
        assert np.isnan(describe(kind, 0.0, 0.0))
    assert describe(descriptors.AMPLITUDE, 0.0, 0.0) == 0.0
