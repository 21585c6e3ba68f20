"""Harmonic regression in plain NumPy: what HarmonicFeatures is compared with."""

import numpy as np

PERIOD = 365.25


def design(days, mid, order, trend, period=PERIOD):
    """Columns 1, years since mid, cos_1, sin_1, ... by NumPy's cosine."""
    columns = [np.ones_like(days)]
    if trend:
        columns.append((days - mid) / 365.25)
    for k in range(1, order + 1):
        angle = 2 * np.pi * k * days / period
        columns += [np.cos(angle), np.sin(angle)]
    return np.stack(columns, axis=1)


def fit(A, y, weights=None, ridge=0.0, penalty=None):
    """Coefficients by lstsq on the rows that are there, the ridge as further rows."""
    weights = np.ones_like(y) if weights is None else weights
    there = np.isfinite(y) & (weights > 0)
    root = np.sqrt(weights[there])
    left, right = A[there] * root[:, None], y[there] * root
    if ridge:
        left = np.vstack([left, np.diag(np.sqrt(ridge * penalty))])
        right = np.concatenate([right, np.zeros(A.shape[1])])
    return np.linalg.lstsq(left, right, rcond=None)[0]


def statistics(A, y, b, weights=None):
    """Root mean square of the residuals, r2 and number of observations."""
    weights = np.ones_like(y) if weights is None else weights
    there = np.isfinite(y) & (weights > 0)
    w, y = weights[there], y[there]
    squares = w @ (y - A[there] @ b) ** 2
    total = w @ (y - (w @ y) / w.sum()) ** 2
    return np.sqrt(squares / w.sum()), 1 - squares / total, there.sum()


def robust_fit(A, y, kind, weights=None, rounds=10):
    """Iteratively reweighted least squares from the plain fit, written from the definition."""
    there = np.isfinite(y)
    A, y = A[there], y[there]
    given = np.ones_like(y) if weights is None else weights[there]
    b = fit(A, y, given)
    for _ in range(rounds):
        u = np.abs(y - A @ b)
        u /= np.median(np.repeat(u, given.astype(int))) / 0.6745
        if kind == "huber":
            trust = np.where(u <= 1.345, 1, 1.345 / u)
        else:
            trust = np.where(u < 4.685, (1 - (u / 4.685) ** 2) ** 2, 0)
        b = fit(A, y, given * trust)
    return b
