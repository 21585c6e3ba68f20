"""pca_rgb: colours of vectors, from their three main components."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

# Rows whose products are summed at once.
_BLOCK_BYTES = 2**25
# Loadings that differ by less than this share are equal but for rounding.
_TIE = 1e-6


class PrincipalColours(NamedTuple):
    """Mean, main axes (columns, at most three) and the spread along the first."""

    mean: np.ndarray
    axes: np.ndarray
    spread: float

    @classmethod
    def of(cls, vectors: np.ndarray) -> Self:
        """Find the main axes of the finite rows of vectors of shape (n, d)."""
        finite = np.isfinite(vectors).all(axis=1)
        n_rows, n_features = int(finite.sum()), vectors.shape[1]
        if n_rows == 0:
            return cls(np.zeros(n_features), np.zeros((n_features, 0)), 0.0)
        total = np.zeros(n_features)
        for block in _blocks(vectors, finite):
            total += block.sum(axis=0)
        mean = total / n_rows
        values, axes = _main_axes(vectors, finite, mean, n_rows)
        spread = float(np.sqrt(max(values[0], 0.0))) if values.size else 0.0
        size = float(np.abs(mean).max(initial=0.0))
        if spread <= 1e-12 * size:  # what is left is rounding
            spread = 0.0
        return cls(mean, axes * _signs(axes), spread)

    def of_rows(self, vectors: np.ndarray, stretch: float) -> np.ndarray:
        """Colours of vectors, shape (n, 3); NaN where a vector is not finite."""
        n_rows, n_axes = vectors.shape[0], self.axes.shape[1]
        colours = np.full((n_rows, 3), 0.5)
        finite = np.isfinite(vectors).all(axis=1)
        if self.spread > 0:
            step = _rows_a_block(vectors)
            for first in range(0, n_rows, step):
                rows = slice(first, first + step)
                with np.errstate(invalid="ignore"):
                    scores = (vectors[rows].astype(np.float64) - self.mean) @ self.axes
                scores = 0.5 + scores / (2.0 * stretch * self.spread)
                if vectors.shape[1] == 1:
                    scores, n_axes = np.repeat(scores, 3, axis=1), 3
                colours[rows, :n_axes] = np.clip(scores, 0.0, 1.0)
        colours[~finite] = np.nan
        return colours


def pca_rgb(features: Any, *, stretch: float = 2.2) -> np.ndarray:
    """Colour vectors by their three main components: alike vectors get alike colours.

    Parameters
    ----------
    features : array-like of shape (n, d) or (h, w, d), or xarray.DataArray with a dimension "band"
        Vectors along the last axis; of a map from `embed_grid` along ``band``.
    stretch : float, default=2.2
        Standard deviations of the first component between the middle and the end of the colours.
        The same for all three components, so that the lesser ones tint rather than shout.

    Returns
    -------
    colours : float64 array of shape (n, 3) or (h, w, 3)
        Red, green and blue in [0, 1]: first, second and third component, 0.5 at their mean. NaN
        where a vector holds NaN or infinity.

    See Also
    --------
    plot_embedding : The picture at once.

    Notes
    -----
    The components are those of the finite rows, which count equally. Each points where its largest
    loading is positive (the first of equals), so that colours do not flip between runs. They do
    depend on the rows: pictures are comparable only where they were coloured together. Components
    of equal variance may come in either order.

    One feature gives greys. Two give red and green under a blue of 0.5, and features that do not
    vary a grey of 0.5.

    Examples
    --------
    >>> import numpy as np
    >>> from geofeat.plotting import pca_rgb
    >>> vectors = np.array([[0.0, 3.0, 1.0], [1.0, 3.0, 1.0], [2.0, 3.0, 1.0], [np.nan, 3.0, 1.0]])
    >>> pca_rgb(vectors).round(2)
    array([[0.22, 0.5 , 0.5 ],
           [0.5 , 0.5 , 0.5 ],
           [0.78, 0.5 , 0.5 ],
           [ nan,  nan,  nan]])
    """
    if not (np.isfinite(stretch) and stretch > 0):
        raise ValueError(f"stretch must be above 0 standard deviations, got {stretch!r}")
    if "band" in getattr(features, "dims", ()):
        features = features.transpose(..., "band")
    vectors = np.asarray(features)
    if vectors.dtype.kind not in "fiub":
        vectors = vectors.astype(np.float64)
    if vectors.ndim not in (2, 3) or vectors.shape[-1] == 0:
        raise ValueError(
            "pca_rgb expects vectors along the last axis of an array of shape (n, d) or "
            f"(h, w, d), got shape {vectors.shape}"
        )
    flat = vectors.reshape(-1, vectors.shape[-1])
    colours = PrincipalColours.of(flat).of_rows(flat, stretch)
    return colours.reshape(*vectors.shape[:-1], 3)


def _rows_a_block(vectors: np.ndarray) -> int:
    return int(max(1, _BLOCK_BYTES // (8 * vectors.shape[1])))


def _blocks(vectors: np.ndarray, finite: np.ndarray) -> Any:
    """Finite rows in float64, block by block."""
    step = _rows_a_block(vectors)
    for first in range(0, vectors.shape[0], step):
        rows = slice(first, first + step)
        yield vectors[rows][finite[rows]].astype(np.float64)


def _main_axes(
    vectors: np.ndarray, finite: np.ndarray, mean: np.ndarray, n_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Variances along the main axes and the axes as columns, at most three, largest first."""
    n_features = mean.size
    kept = min(3, n_features, n_rows)
    if n_rows < n_features:
        centred = vectors[finite].astype(np.float64) - mean
        _, lengths, rows = np.linalg.svd(centred, full_matrices=False)
        return lengths[:kept] ** 2 / n_rows, rows[:kept].T
    from scipy.linalg import eigh

    covariance = np.zeros((n_features, n_features))
    for block in _blocks(vectors, finite):
        block -= mean
        covariance += block.T @ block
    values, axes = eigh(covariance / n_rows, subset_by_index=[n_features - kept, n_features - 1])
    return values[::-1], axes[:, ::-1]


def _signs(axes: np.ndarray) -> np.ndarray:
    """Factor of each axis that makes its largest loading, the first of equals, positive."""
    sizes = np.abs(axes)
    largest = np.argmax(sizes >= sizes.max(axis=0, initial=0.0) * (1 - _TIE), axis=0)
    return np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1.0, 1.0)
