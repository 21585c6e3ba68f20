"""HarmonicFeatures against lstsq, the known answers of harmonic regression, and its contract."""

import warnings

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from geofeat import HarmonicFeatures
from geofeat.exceptions import TimesWarning
from tests.encoders import harmonic_oracle as oracle

PERIOD = oracle.PERIOD
TIMES = np.arange("2020-01-01", "2022-01-01", 10, dtype="datetime64[D]")  # 2020 is a leap year
DAYS = TIMES.astype(float)
MID = (DAYS[0] + DAYS[-1]) / 2
ALL = ("coefficients", "amplitude", "phase", "peak_day", "rmse", "r2", "n_obs")


def gappy(n, missing=0.5, seed=0, times=DAYS):
    """Noisy seasonal series with gaps of their own, shape (n, n_times)."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (n, 1))
    y = 0.4 + 0.3 * np.cos(2 * np.pi * times / PERIOD - phase) + rng.normal(0, 0.1, (n, times.size))
    y[rng.random(y.shape) < missing] = np.nan
    return y


def coefficients(y, **parameters):
    parameters = {"times": TIMES, "outputs": ("coefficients",), **parameters}
    return HarmonicFeatures(**parameters).transform(y)


# Against lstsq ---------------------------------------------------------------------------------


@pytest.mark.parametrize("trend", [True, False])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_gaps_of_every_row_against_lstsq(order, trend):
    y = gappy(200)
    A = oracle.design(DAYS, MID, order, trend)
    expected = np.array([oracle.fit(A, row) for row in y])
    assert_allclose(coefficients(y, order=order, trend=trend), expected, rtol=0, atol=1e-10)


def test_statistics_against_their_definitions():
    y = gappy(100)
    A = oracle.design(DAYS, MID, 2, True)
    found = coefficients(y, outputs=("rmse", "r2", "n_obs", "condition"))
    expected = np.array([oracle.statistics(A, row, oracle.fit(A, row)) for row in y])
    assert_allclose(found[:, :3], expected, rtol=0, atol=1e-12)
    for row, condition in zip(y, found[:, 3], strict=True):
        present = A[np.isfinite(row)]
        scaled = present / np.linalg.norm(present, axis=0)
        assert condition == pytest.approx(np.linalg.cond(scaled), rel=1e-12)


@pytest.mark.parametrize("n_times", [7, 8, 16, 17, 73, 200])
def test_any_number_of_times_and_rows(n_times):
    days = np.sort(np.random.default_rng(n_times).uniform(18000, 18800, n_times))
    y = gappy(37, missing=0.0, times=days)
    A = oracle.design(days, (days[0] + days[-1]) / 2, 2, True)
    expected = np.array([oracle.fit(A, row) for row in y])
    found = coefficients(y, times=days, max_condition=None)
    assert_allclose(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("ridge", [0.1, 5.0])
@pytest.mark.parametrize("trend", [True, False])
def test_ridge_against_lstsq_with_further_rows(ridge, trend):
    y = gappy(50)
    A = oracle.design(DAYS, MID, 3, trend)
    penalty = np.array([0.0, *[1.0] * trend, 1, 1, 16, 16, 81, 81])
    expected = np.array([oracle.fit(A, row, ridge=ridge, penalty=penalty) for row in y])
    found = coefficients(y, order=3, trend=trend, ridge=ridge)
    assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_weights_against_weighted_lstsq():
    y = gappy(50)
    weights = np.random.default_rng(1).uniform(0, 3, y.shape)
    weights[:, ::7] = 0.0
    A = oracle.design(DAYS, MID, 2, True)
    features = HarmonicFeatures(times=TIMES, outputs=("coefficients", "rmse", "r2", "n_obs"))
    expected = []
    for row, w in zip(y, weights, strict=True):
        b = oracle.fit(A, row, w)
        expected.append([*b, *oracle.statistics(A, row, b, w)])
    assert_allclose(features.transform(y, weights=weights), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["huber", "bisquare"])
def test_robust_fits_against_reweighting_written_out(kind):
    y = gappy(60, missing=0.3)
    rng = np.random.default_rng(2)
    y[rng.random(y.shape) < 0.1] += 2.0  # clouds
    A = oracle.design(DAYS, MID, 2, True)
    expected = np.array([oracle.robust_fit(A, row, kind) for row in y])
    assert_allclose(coefficients(y, robust=kind), expected, rtol=0, atol=1e-10)
    weights = rng.integers(1, 4, y.shape).astype(float)
    expected = np.array(
        [oracle.robust_fit(A, row, kind, w) for row, w in zip(y, weights, strict=True)]
    )
    features = HarmonicFeatures(times=TIMES, outputs=("coefficients",), robust=kind)
    assert_allclose(features.transform(y, weights=weights), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["huber", "bisquare"])
def test_robust_fits_find_the_wave_under_clouds(kind):
    A = oracle.design(DAYS, MID, 2, True)
    true = np.array([0.5, 0.02, -0.3, 0.1, 0.05, -0.05])
    rng = np.random.default_rng(3)
    y = A @ true + rng.normal(0, 0.01, (40, DAYS.size))
    y[rng.random(y.shape) < 0.15] += 0.6
    plain = np.abs(coefficients(y) - true).mean()
    assert np.abs(coefficients(y, robust=kind) - true).mean() < plain / 5
    exact = np.tile(A @ true, (3, 1))
    exact[:, 5] += 1.0  # the scale shrinks to nothing
    assert_allclose(coefficients(exact, robust="bisquare")[0], true, atol=1e-9)


@pytest.mark.parametrize("period", [365.25, 30.4, 730.5])
def test_other_periods(period):
    y = gappy(20, missing=0.2)
    A = oracle.design(DAYS, MID, 1, True, period)
    expected = np.array([oracle.fit(A, row) for row in y])
    assert_allclose(coefficients(y, order=1, period=period), expected, rtol=0, atol=1e-10)


# Known answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [0.0, 0.5, 0.8])
def test_an_exact_model_is_recovered(missing):
    rng = np.random.default_rng(4)
    true = rng.normal(size=(300, 6))
    y = true @ oracle.design(DAYS, MID, 2, True).T
    y[rng.random(y.shape) < missing] = np.nan
    found = coefficients(y, outputs=("coefficients", "rmse"), max_condition=None)
    enough = np.isfinite(y).sum(axis=1) >= 6
    assert enough.sum() > 280
    assert_allclose(found[enough, :6], true[enough], rtol=0, atol=1e-8)
    assert found[enough, 6].max() < 1e-12


def test_a_full_regular_year_is_a_fourier_transform():
    n_times = 48
    y = np.random.default_rng(5).normal(size=(20, n_times))
    spectrum = np.fft.rfft(y)
    found = coefficients(y, order=4, trend=False, times=np.arange(n_times) * PERIOD / n_times)
    assert_allclose(found[:, 0], spectrum[:, 0].real / n_times, atol=1e-14)
    assert_allclose(found[:, 1::2], 2 * spectrum[:, 1:5].real / n_times, atol=1e-14)
    assert_allclose(found[:, 2::2], -2 * spectrum[:, 1:5].imag / n_times, atol=1e-14)


def test_a_missing_observation_changes_nothing():
    y = gappy(30)
    features = HarmonicFeatures(times=DAYS, outputs=ALL)
    at = [10, 40, 73]
    times = np.insert(DAYS, at, [18300.5, 18620.25, 18990.0])
    more = HarmonicFeatures(times=times, outputs=ALL)
    found = more.transform(np.insert(y, at, np.nan, axis=1))
    assert_allclose(found, features.transform(y), rtol=0, atol=1e-12)


def test_weight_zero_and_nan_are_the_same_bit_for_bit():
    y = gappy(30, missing=0.0)
    gone = np.random.default_rng(6).random(y.shape) < 0.4
    with_nan = np.where(gone, np.nan, y)
    features = HarmonicFeatures(times=TIMES, outputs=ALL)
    expected = features.transform(with_nan)
    assert_array_equal(features.transform(y, weights=~gone), expected)
    poisoned = np.where(gone, np.inf, y)  # what lies below a mask never counts
    assert_array_equal(features.fit_transform(poisoned, weights=~gone), expected)


def test_whole_weights_and_repeated_observations_agree():
    y = gappy(20)
    weights = np.random.default_rng(7).integers(0, 4, DAYS.size)
    weights[[0, -1]] = 1  # keeps the mid time
    repeated = np.repeat(np.arange(DAYS.size), weights)
    outputs = ("coefficients", "amplitude", "rmse", "r2")
    for robust in (None, "huber", "bisquare"):
        left = HarmonicFeatures(times=TIMES, outputs=outputs, robust=robust).transform(
            y, weights=np.tile(weights, (20, 1))
        )
        right = HarmonicFeatures(times=TIMES[repeated], outputs=outputs, robust=robust).transform(
            y[:, repeated]
        )
        assert_allclose(left, right, rtol=0, atol=1e-11)


def test_a_later_epoch_turns_the_phase_only():
    y = gappy(10)
    outputs = ("amplitude", "phase", "rmse")
    here = HarmonicFeatures(order=2, times=DAYS, outputs=outputs).transform(y)
    whole = HarmonicFeatures(order=2, times=DAYS - 3 * PERIOD, outputs=outputs).transform(y)
    assert_allclose(whole, here, rtol=0, atol=1e-10)
    years = 0.1
    later = HarmonicFeatures(order=2, times=DAYS - years * PERIOD, outputs=outputs).transform(y)
    turned = here[:, 2:4] - 2 * np.pi * years * np.array([1, 2])
    assert_allclose(np.exp(1j * later[:, 2:4]), np.exp(1j * turned), atol=1e-10)
    assert_allclose(later[:, [0, 1, 4]], here[:, [0, 1, 4]], atol=1e-10)
    wave = np.cos(2 * np.pi * DAYS / PERIOD - 0.7)[None]
    shifted = HarmonicFeatures(order=1, times=DAYS - 0.1 * PERIOD, outputs=("phase",))
    assert shifted.transform(wave)[0, 0] == pytest.approx(0.0717, abs=5e-5)
    slope = [
        HarmonicFeatures(order=1, times=days, outputs=("coefficients",)).transform(y)[:, 1]
        for days in (DAYS, DAYS + 2 * PERIOD)
    ]
    assert_allclose(slope[0], slope[1], atol=1e-10)


def test_rows_permute_and_bands_stand_alone_bit_for_bit():
    rng = np.random.default_rng(8)
    y = np.stack([gappy(50, seed=seed) for seed in range(3)], axis=2)
    features = HarmonicFeatures(times=TIMES, outputs=ALL)
    together = features.transform(y)
    order = rng.permutation(50)
    assert_array_equal(features.transform(y[order]), together[order])
    width = together.shape[1] // 3
    for band in range(3):
        alone = features.transform(y[:, :, band])
        assert_array_equal(together[:, band * width : (band + 1) * width], alone)


# Series that cannot be fitted ------------------------------------------------------------------


def summers():
    """24 observations of a flat series from June to August of two years: noise 0.01 about 0.3."""
    days = np.concatenate([18262 + np.linspace(152, 243, 12), 18628 + np.linspace(152, 243, 12)])
    return days, 0.3 + np.random.default_rng(9).normal(0, 0.01, (200, 24))


def test_no_silently_wild_fit():
    days, y = summers()
    for order in (2, 3):
        free = HarmonicFeatures(order, times=days, outputs=("amplitude",), max_condition=None)
        assert np.median(free.transform(y)[:, 0]) > 0.3  # a flat series: this is the wild fit
        guarded = HarmonicFeatures(order, times=days, outputs=("amplitude", "n_obs", "condition"))
        found = guarded.transform(y)
        assert np.isnan(found[:, :order]).all()
        assert (found[:, order] == 24).all()
        assert (found[:, order + 1] > 200).all()
    calm = HarmonicFeatures(1, times=days, outputs=("amplitude",)).transform(y)
    assert calm.max() < 0.2


def test_on_short_modes_for_badly_spread_series():
    days, y = summers()
    reduced = HarmonicFeatures(2, times=days, on_short="reduce").transform(y)
    first = HarmonicFeatures(1, times=days).transform(y)
    names = HarmonicFeatures(2, times=days).get_feature_names_out().tolist()
    assert_array_equal(reduced[:, names.index("cos1")], first[:, 2])
    assert_array_equal(reduced[:, names.index("rmse")], first[:, -1])
    assert (reduced[:, names.index("sin2")] == 0).all()
    assert (reduced[:, names.index("amplitude2")] == 0).all()
    assert np.isnan(reduced[:, names.index("phase2")]).all()
    ridged = HarmonicFeatures(3, times=days, on_short="ridge", outputs=("coefficients",))
    A = oracle.design(days, (days[0] + days[-1]) / 2, 3, True)
    penalty = np.array([0.0, 1, 1, 1, 16, 16, 81, 81])
    expected = np.array([oracle.fit(A, row, ridge=1.0, penalty=penalty) for row in y])
    assert_allclose(ridged.transform(y), expected, atol=1e-10)


def short_rows():
    """Rows with 0, 1, 5, 6 and 74 observations, well spread."""
    y = gappy(5, missing=0.0)
    for row, count in enumerate((0, 1, 5, 6)):
        kept = np.linspace(0, 66, count).astype(int) + np.arange(count) % 2
        y[row, np.setdiff1d(np.arange(DAYS.size), kept)] = np.nan
    return y


def test_too_few_observations_are_nan_and_counted():
    found = coefficients(short_rows(), outputs=("coefficients", "rmse", "n_obs"))
    assert np.isnan(found[:3, :7]).all()
    assert np.isfinite(found[3:]).all()
    assert_array_equal(found[:, 7], [0, 1, 5, 6, 74])


def test_reduce_keeps_three_observations_a_coefficient():
    rng = np.random.default_rng(10)
    y = gappy(60, missing=0.0)
    counts = np.arange(60) % 30 + 1
    for row, count in zip(y, counts, strict=True):
        row[rng.permutation(DAYS.size)[count:]] = np.nan
    found = coefficients(y, order=3, on_short="reduce")
    for row, count, b in zip(y, counts, found, strict=True):
        if np.isnan(b).all():
            assert count < 12
            continue
        waves = np.flatnonzero(b[2:].reshape(3, 2).any(axis=1)) + 1
        allowed = 3 if count >= 24 else 2 if count >= 18 else 1
        assert waves.max() <= allowed
        A = oracle.design(DAYS, MID, waves.max(), True)
        assert_allclose(b[: A.shape[1]], oracle.fit(A, row), atol=1e-10)
    assert np.isfinite(found[counts >= 12]).all()


def test_ridge_rescues_all_rows_with_an_observation():
    y = short_rows()
    found = coefficients(y, on_short="ridge")
    assert np.isnan(found[0]).all()
    assert found[1, 0] == pytest.approx(np.nanmean(y[1]))
    assert_allclose(found[1, 1:], 0, atol=1e-12)
    assert np.isfinite(found[1:]).all()
    assert_array_equal(found[3:], coefficients(y)[3:])


def test_raise_names_the_rows():
    with pytest.raises(ValueError, match=r"3 of 5 rows \(0, 1, 2\).*on_short='nan'"):
        coefficients(short_rows(), on_short="raise")
    coefficients(short_rows()[3:], on_short="raise")


def test_repeated_times_do_not_make_a_rank():
    days = np.repeat([18262.0, 18300.0, 18400.0], 10)
    y = np.random.default_rng(11).normal(size=(3, 30))
    found = coefficients(y, times=days, max_condition=None, outputs=("coefficients", "n_obs"))
    assert np.isnan(found[:, :-1]).all()
    assert (found[:, -1] == 30).all()


def test_a_constant_series_has_no_r2():
    y = np.full((2, DAYS.size), 0.1)
    y[1, 3] += 1e-6
    found = coefficients(y, outputs=("r2", "rmse"))
    assert np.isnan(found[0, 0])
    assert np.isfinite(found[1, 0])
    assert found[0, 1] < 1e-15


# Threads, rows, dtypes -------------------------------------------------------------------------


def test_one_row_equals_its_row_of_a_batch_bit_for_bit():
    y = np.stack([gappy(67, seed=seed) for seed in range(2)], axis=2)
    weights = np.random.default_rng(12).uniform(0.1, 2, (67, DAYS.size))
    features = HarmonicFeatures(times=TIMES, outputs=ALL, robust="huber")
    batch = features.transform(y, weights=weights)
    for row in (0, 1, 33, 66):
        alone = features.transform(y[row : row + 1], weights=weights[row : row + 1])
        assert_array_equal(alone[0], batch[row])


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
def test_threads_do_not_change_a_bit():
    y = gappy(9000)
    features = HarmonicFeatures(times=TIMES, outputs=ALL)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = features.transform(y)
        numba.set_num_threads(2)
        assert_array_equal(features.transform(y), alone)
    finally:
        numba.set_num_threads(before)


def test_single_precision_in_and_out_but_not_between():
    y = gappy(40).astype(np.float32)
    features = HarmonicFeatures(times=TIMES, outputs=ALL)
    single = features.transform(y)
    assert single.dtype == np.float32
    assert_array_equal(single, features.transform(y.astype(float)).astype(np.float32))


# Times of each row -----------------------------------------------------------------------------


def row_table(days, values):
    return np.concatenate([days, values.reshape(len(values), -1)], axis=1)


def test_equal_times_of_each_row_are_shared_times():
    y = np.stack([gappy(40, seed=seed) for seed in range(3)], axis=2)
    table = row_table(np.tile(DAYS, (40, 1)), y)
    shared = HarmonicFeatures(times=TIMES, outputs=ALL).transform(y)
    own = HarmonicFeatures(times="row", n_bands=3, outputs=ALL).transform(table)
    assert_allclose(own, shared, rtol=0, atol=1e-10)


def test_own_times_against_lstsq_with_missing_times():
    rng = np.random.default_rng(13)
    days = np.sort(rng.uniform(10957, 17000, (60, 1)) + rng.uniform(0, 800, (60, 25)), axis=1)
    days[rng.random(days.shape) < 0.15] = np.nan
    y = rng.normal(size=days.shape)
    y[rng.random(days.shape) < 0.1] = np.nan
    weights = rng.uniform(0.1, 2, days.shape)
    found = HarmonicFeatures(times="row", outputs=("coefficients", "n_obs")).transform(
        row_table(days, y), weights=weights
    )
    compared = 0
    for t, row, w, b in zip(days, y, weights, found, strict=True):
        mid = (np.nanmin(t) + np.nanmax(t)) / 2
        there = np.isfinite(t) & np.isfinite(row)
        A = oracle.design(t[there], mid, 2, True)
        assert b[6] == there.sum()
        if np.linalg.cond(A) < 100:
            assert_allclose(b[:6], oracle.fit(A, row[there], w[there]), atol=1e-10)
            compared += 1
    assert compared > 40


def test_on_short_with_times_of_each_row():
    days = np.tile(DAYS, (5, 1))
    shared = HarmonicFeatures(times=TIMES, on_short="reduce").transform(short_rows())
    own = HarmonicFeatures(times="row", on_short="reduce").transform(row_table(days, short_rows()))
    assert_allclose(own, shared, rtol=0, atol=1e-10)
    nothing = HarmonicFeatures(times="row").transform(np.full((2, 20), np.nan))
    assert np.isnan(nothing).all()


def test_leap_years_do_not_jump():
    """One wave of 365.25 days through twelve years keeps its phase."""
    times = np.arange("2010-01-01", "2022-01-01", 16, dtype="datetime64[D]")
    wave = 0.5 + 0.2 * np.cos(2 * np.pi * times.astype(float) / PERIOD - 1.3)
    yearly = [times.astype("datetime64[Y]") == year for year in np.unique(times.astype("M8[Y]"))]
    for this_year in yearly:
        features = HarmonicFeatures(
            1, times=times[this_year], trend=False, outputs=("phase", "peak_day")
        )
        phase, peak = features.transform(wave[this_year][None])[0]
        assert phase == pytest.approx(1.3, abs=1e-12)
        assert peak == pytest.approx(1.3 / (2 * np.pi) * PERIOD, abs=1e-9)


def test_assumed_times_are_one_period_and_told_once():
    y = gappy(5, missing=0.0)[:, :24]
    with pytest.warns(TimesWarning, match="24 columns .* equal steps .* Pass times="):
        features = HarmonicFeatures(period=24.0, order=1).fit(y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = features.transform(y)
    expected = HarmonicFeatures(period=24.0, order=1, times=np.arange(24.0)).transform(y)
    assert_array_equal(found, expected)
    with pytest.warns(TimesWarning):
        assert_array_equal(HarmonicFeatures(period=24.0, order=1).transform(y), expected)
