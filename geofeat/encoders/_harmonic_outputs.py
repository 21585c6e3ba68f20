"""Which columns the harmonic features have, under which names."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from geofeat.kernels._harmonic_design import n_parameters
from geofeat.kernels._harmonic_regression import CONDITION, N_OBS, R2, RMSE
from geofeat.kernels._seasonal_descriptors import (
    AMPLITUDE,
    COEFFICIENT,
    PEAK_DAY,
    PHASE,
    PHASE_COS,
    PHASE_SIN,
    STATISTIC,
)

STATISTICS = {"rmse": RMSE, "r2": R2, "n_obs": N_OBS, "condition": CONDITION}
# Columns of each order k: their names and what they hold.
_OF_ORDERS = {
    "amplitude": [("amplitude{}", AMPLITUDE)],
    "phase": [("phase{}", PHASE)],
    "phase_vector": [("cos_phase{}", PHASE_COS), ("sin_phase{}", PHASE_SIN)],
}
GROUPS = ("coefficients", *_OF_ORDERS, "peak_day", *STATISTICS)


def output_columns(
    outputs: Iterable[str], order: int, trend: bool
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Columns of one band.

    Parameters
    ----------
    outputs : iterable of str
        Groups of columns, from `GROUPS`.
    order : int
        Number of harmonics.
    trend : bool
        Whether there is a slope.

    Returns
    -------
    names : list of str
        Names of the columns.
    kinds, places : ndarray of int64
        What each holds, for `geofeat.kernels._seasonal_descriptors.write_descriptors`.

    Raises
    ------
    ValueError
        For no group, an unknown one or one named twice.
    """
    outputs = list(outputs)
    unknown = [group for group in outputs if group not in GROUPS]
    if unknown or not outputs or len(set(outputs)) < len(outputs):
        raise ValueError(
            f"The 'outputs' parameter of HarmonicFeatures must name each group of columns once, "
            f"out of {', '.join(GROUPS)}. Got {outputs!r} instead."
        )
    columns: list[tuple[str, int, int]] = []
    for group in outputs:
        columns += _columns_of(group, order, trend)
    names, kinds, places = zip(*columns, strict=True)
    return list(names), np.array(kinds, dtype=np.int64), np.array(places, dtype=np.int64)


def _columns_of(group: str, order: int, trend: bool) -> list[tuple[str, int, int]]:
    first = n_parameters(0, trend)
    if group == "coefficients":
        names = ["intercept", "slope"][:first]
        names += [f"{wave}{k}" for k in range(1, order + 1) for wave in ("cos", "sin")]
        return [(name, COEFFICIENT, place) for place, name in enumerate(names)]
    if group == "peak_day":
        return [("peak_day1", PEAK_DAY, first)]
    if group in STATISTICS:
        return [(group, STATISTIC, STATISTICS[group])]
    return [
        (name.format(k), kind, first + 2 * (k - 1))
        for k in range(1, order + 1)
        for name, kind in _OF_ORDERS[group]
    ]
