"""RandomFourierFeatures: random functions whose dot products approximate a kernel."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from geofeat._base import LocationTransformer
from geofeat._coordinates import EARTH_RADIUS_KM, is_geometry
from geofeat._sklearn import (
    Interval,
    StrOptions,
    _fit_context,
    check_same_namespace,
    get_namespace_and_device,
    move_to,
    supported_float_dtypes,
)
from geofeat._warnings import warn_caller
from geofeat.encoders._random_draws import correlation, draw_axes, draw_frequencies
from geofeat.exceptions import SpectrumWarning
from geofeat.kernels._degree_variances import degree_variances
from geofeat.kernels._precision import in_double
from geofeat.kernels._random_fourier import random_waves, zonal_functions
from geofeat.kernels._unit_vectors import unit_vectors

# Kernels of the sphere itself, and their names as spectra of its harmonics.
_SPHERE_KERNELS = {"sphere-matern": "matern", "sphere-heat": "heat"}
_HIGHEST_DEGREE = 1000
# Share of the variance in high degrees that is left out: far below what the draws can show.
_NEGLIGIBLE = 1e-9


class RandomFourierFeatures(LocationTransformer):
    """Map points to random waves whose dot products approximate a kernel [1]_.

    A linear model on these columns is an approximate kernel machine: ridge regression becomes
    Gaussian process regression at a cost that is linear in the number of points.
    ``transform(X) @ transform(Y).T`` comes as close to `kernel_` as ``1 / sqrt(n_components)``,
    and closer with ``scheme="qmc"``.

    Parameters
    ----------
    n_components : int, default=512
        Number of output columns; even for the mappings of pairs.
    kernel : str, default="rbf"
        Which kernel, of variance 1. In the first four r is the Euclidean distance of x and y,
        divided by ``length_scale``; on the sphere the straight line through the Earth.

        - "rbf": ``exp(-r**2 / 2)``.
        - "laplace": ``exp(-|x - y|_1 / length_scale)``, the product of one exponential a
          coordinate. On the sphere it depends on where the axes of the Earth point; "matern" with
          ``nu=0.5`` is ``exp(-r)``, which does not.
        - "matern": ``2**(1 - nu) / Gamma(nu) * t**nu * K_nu(t)``, ``t = sqrt(2 nu) r``; isotropic.
        - "cauchy": ``1 / (1 + r**2)``, the rational quadratic with alpha = 1; isotropic.
        - "sphere-matern": the Matern kernel of the sphere itself [5]_, by great circles. Degree n
          has the share ``(2n + 1) s(n)`` of the variance, ``s(n) = (2 nu / kappa**2 +
          n (n + 1))**(-nu - 1)``, where kappa is ``length_scale`` over the radius of the Earth;
          the kernel at the angle a is the sum of share times ``P_n(cos a)``.
        - "sphere-heat": the same with ``s(n) = exp(-kappa**2 n (n + 1) / 2)``, the counterpart
          of "rbf".
    nu : float, default=1.5
        Smoothness of the Matern kernels, up to 100; 0.5 is rough, 2.5 smooth.
    length_scale : float, default=1.0
        Distance over which the kernel falls off: in the units of X in the plane, in km on the
        sphere, where the default is far too short for most uses.
    space : {"plane", "sphere"}, default="plane"
        "plane": X has any number of numeric columns of one unit. "sphere": X holds longitude and
        latitude in degrees, or points in any CRS, and becomes unit vectors before anything else.
    mapping : {"cos", "cos-sin", "tancik"}, default="cos"
        How a frequency w becomes columns, for D = ``n_components``.

        - "cos": ``sqrt(2 / D) cos(w . x + b)``, one phase b a column.
        - "cos-sin": ``sqrt(2 / D)`` times ``cos(w . x)``, then ``sin(w . x)``: all cosines first.
          Two columns a frequency, no phase, and less noise at short distances.
        - "tancik": ``cos(2 pi w . x)``, then ``sin(2 pi w . x)``, not scaled: the input of networks
          [4]_. The deviation of w is 1 / ``length_scale`` for "rbf", which makes the kernel
          ``2 pi`` times as narrow.

        Zonal functions of the sphere have no phase and no pairs: "sphere-matern" and
        "sphere-heat" take "cos" only.
    scheme : {"iid", "orthogonal", "qmc"}, default="iid"
        How frequencies are drawn. All are unbiased.

        - "iid": each by itself.
        - "orthogonal": in orthonormal frames [2]_, turned evenly in two and three dimensions,
          with lengths spread evenly over their distribution. Not for "laplace" in more than one
          dimension, whose frequencies have no preferred length.
        - "qmc": spread evenly over lengths and directions by a quasi-random sequence [3]_: the most
          accurate, above all in up to three dimensions.

        With "orthogonal" or "qmc", the columns of ``mapping="cos"`` come in pairs of one frequency
        and phases a quarter turn apart, which removes the noise of the phase.
    random_state : int, RandomState instance or None, default=None
        Source of the draws in `fit`; an int makes them the same every time.
    device : str, default=None
        None computes where X is. "cuda", "mps", "cpu" or any torch device moves X there, computes,
        and returns the result as X's kind. Needs torch.

    Attributes
    ----------
    weights_ : array of shape (n_frequencies, n_dimensions), float64
        Frequencies w, over units of X or, on the sphere, of the unit vector. For the kernels
        of the sphere itself the axes of the zonal functions, as unit vectors. There are
        ``n_components`` rows, half as many for the mappings of pairs.
    phases_ : array of shape (n_components,), float64
        Phases b in radians, for ``mapping="cos"``.
    degrees_ : array of shape (n_components,), int64
        Degrees of the zonal functions, ascending, for the kernels of the sphere itself.
    variance_left_out_ : float
        Share of the variance of "sphere-matern" and "sphere-heat" above degree 1000, which no
        column holds; a `SpectrumWarning` tells when it is more than half.
    bounds_ : array of shape (4,)
        West, south, east, north of the fitted points in degrees, for ``space="sphere"``.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, where X had names.

    Notes
    -----
    `fit` draws and looks at X for its number of columns only. Arithmetic is float64 whatever the
    dtype of X, and the same draws serve both dtypes. Phases beyond 1e6 radians are computed by
    NumPy, more slowly; their error is that of the product w . x in float64.

    A zonal function is ``sqrt((2n + 1) / D) P_n(axis . x)``, with n drawn in proportion to
    ``(2n + 1) s(n)``. The published code of deep random features [6]_ draws n in proportion to
    s(n), which gives a kernel much smoother than the one it is named after.

    References
    ----------
    .. [1] A. Rahimi, B. Recht, "Random features for large-scale kernel machines", NIPS 2007.
    .. [2] F. X. Yu, A. T. Suresh, K. Choromanski, D. Holtmann-Rice, S. Kumar, "Orthogonal random
       features", NIPS 2016.
    .. [3] J. Yang, V. Sindhwani, H. Avron, M. W. Mahoney, "Quasi-Monte Carlo feature maps for
       shift-invariant kernels", ICML 2014.
    .. [4] M. Tancik, P. P. Srinivasan, B. Mildenhall, et al., "Fourier features let networks
       learn high frequency functions in low dimensional domains", NeurIPS 2020.
    .. [5] V. Borovitskiy, A. Terenin, P. Mostowsky, M. P. Deisenroth, "Matern Gaussian processes
       on Riemannian manifolds", NeurIPS 2020.
    .. [6] W. Chen, A. Mahmood, M. Tsamados, S. Takao, "Deep random features for scalable
       interpolation of spatiotemporal data", ICLR 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from geofeat import RandomFourierFeatures
    >>> X = [[0.0, 0.0], [0.0, 1.0], [3.0, 0.0]]
    >>> waves = RandomFourierFeatures(1024, scheme="qmc", random_state=0).fit(X)
    >>> waves.kernel_(X).round(2)
    array([[1.  , 0.61, 0.01],
           [0.61, 1.  , 0.01],
           [0.01, 0.01, 1.  ]])
    >>> features = waves.transform(X)
    >>> bool(np.abs(features @ features.T - waves.kernel_(X)).max() < 0.01)
    True

    Places on Earth, with the Matern kernel of the sphere:

    >>> places = [[5.66, 51.98], [4.89, 52.37]]
    >>> waves = RandomFourierFeatures(
    ...     kernel="sphere-matern", space="sphere", length_scale=500.0, random_state=0
    ... ).fit(places)
    >>> waves.kernel_(places).round(2)
    array([[1.  , 0.98],
           [0.98, 1.  ]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "kernel": [StrOptions({"rbf", "laplace", "matern", "cauchy", *_SPHERE_KERNELS})],
        "nu": [Interval(Real, 0, 100, closed="right")],
        "length_scale": [Interval(Real, 0, None, closed="neither")],
        "space": [StrOptions({"plane", "sphere"})],
        "mapping": [StrOptions({"cos", "cos-sin", "tancik"})],
        "scheme": [StrOptions({"iid", "orthogonal", "qmc"})],
        "random_state": ["random_state"],
        "device": [str, None],
    }

    def __init__(
        self,
        n_components: int = 512,
        *,
        kernel: str = "rbf",
        nu: float = 1.5,
        length_scale: float = 1.0,
        space: str = "plane",
        mapping: str = "cos",
        scheme: str = "iid",
        random_state: Any = None,
        device: str | None = None,
    ):
        self.n_components = n_components
        self.kernel = kernel
        self.nu = nu
        self.length_scale = length_scale
        self.space = space
        self.mapping = mapping
        self.scheme = scheme
        self.random_state = random_state
        self.device = device

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Draw frequencies and phases for the columns of X; its values are checked, no more.

        Parameters
        ----------
        X : array-like, data frame or geometry of shape (n_samples, n_columns)
            As in `transform`.
        y : None
            Ignored.

        Returns
        -------
        self : RandomFourierFeatures
            The transformer itself.

        Raises
        ------
        ValueError
            When parameters exclude each other, or for infinite values.
        """
        if self.space == "sphere":
            super().fit(X, y)
            xp, _, device = get_namespace_and_device(self.bounds_)
            dimensions = 3
        else:
            X = self._check_plane(X, reset=True)
            xp, _, device = get_namespace_and_device(X)
            dimensions = X.shape[1]
        self._check_combination(dimensions)
        for name, values in self._draw(dimensions).items():
            setattr(self, name, move_to(values, xp=xp, device=device))
        return self

    def kernel_(self, X: Any, Y: Any = None) -> np.ndarray:
        """Exact kernel of which the features are an approximation.

        This is the mean of ``transform(X) @ transform(Y).T`` over all draws: the kernel, of
        variance 1, and for ``mapping="tancik"`` ``n_components / 2`` times that, since its columns
        are not scaled.

        Parameters
        ----------
        X : array-like, data frame or geometry of shape (n_samples_X, n_columns)
            As in `transform`.
        Y : array-like, data frame or geometry of shape (n_samples_Y, n_columns), default=None
            None stands for X.

        Returns
        -------
        kernel : ndarray of shape (n_samples_X, n_samples_Y), float64
            NaN where a row has a missing value.
        """
        x = self._points(X)
        y = x if Y is None else self._points(Y)
        if self.kernel in _SPHERE_KERNELS:
            shares, _ = self._degree_shares()
            return np.polynomial.legendre.legval(np.clip(x @ y.T, -1, 1), shares)
        metric = "cityblock" if self.kernel == "laplace" else "euclidean"
        values = correlation(self.kernel, cdist(x, y, metric), self.nu)
        return values * self.n_components / 2 if self.mapping == "tancik" else values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags

    @property
    def _n_features_out(self) -> int:
        return int(self.n_components)

    def _feature_names(self) -> list[str]:
        check_is_fitted(self)
        if self.mapping == "cos":
            return [f"rff{j}" for j in range(self.n_components)]
        return [f"rff_{wave}{j}" for wave in ("cos", "sin") for j in range(self.n_components // 2)]

    def _check_combination(self, dimensions: int) -> None:
        if self.kernel in _SPHERE_KERNELS:
            if self.space != "sphere":
                raise ValueError(
                    f"kernel={self.kernel!r} is a kernel of the sphere: it needs space='sphere' "
                    "and longitude and latitude as columns."
                )
            if self.mapping != "cos":
                raise ValueError(
                    f"kernel={self.kernel!r} is approximated by zonal functions, which have no "
                    f"mapping={self.mapping!r}. Leave mapping='cos'."
                )
        if self.mapping != "cos" and self.n_components % 2:
            raise ValueError(
                f"mapping={self.mapping!r} makes a cosine and a sine of each frequency: "
                f"n_components={self.n_components} must be even."
            )
        if self.kernel == "laplace" and self.scheme == "orthogonal" and dimensions > 1:
            raise ValueError(
                "scheme='orthogonal' needs a kernel that is the same in all directions, which "
                "kernel='laplace' is not. Take kernel='matern' with nu=0.5, which is exp(-r), or "
                "scheme='qmc'."
            )

    def _draw(self, dimensions: int) -> dict[str, np.ndarray]:
        """Fitted attributes that are drawn, the same for every dtype and namespace of X."""
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=4)
        rng = np.random.default_rng(seeds)
        if self.kernel in _SPHERE_KERNELS:
            shares, self.variance_left_out_ = self._degree_shares()
            if self.variance_left_out_ > 0.5:
                warn_caller(
                    f"RandomFourierFeatures leaves out {self.variance_left_out_:.0%} of the "
                    f"variance of kernel={self.kernel!r} with length_scale={self.length_scale:g} "
                    f"km, that above degree {_HIGHEST_DEGREE}: the kernel is much smoother than "
                    "asked for. Take a length_scale of 40 km or more.",
                    SpectrumWarning,
                )
            axes, degrees = draw_axes(shares, self.n_components, scheme=self.scheme, rng=rng)
            return {"weights_": axes, "degrees_": degrees}
        # With even phases, two columns share a frequency.
        repeats = 1 if self.mapping == "cos" and self.scheme == "iid" else 2
        n = -(-self.n_components // repeats)
        weights = draw_frequencies(
            self.kernel, n, dimensions, nu=self.nu, scheme=self.scheme, rng=rng
        )
        weights *= self._scale_of_points()
        if self.mapping != "cos":
            return {"weights_": weights}
        phases = rng.uniform(0, 2 * np.pi, n)
        phases = (phases[:, None] + np.pi / 2 * np.arange(repeats)).reshape(-1)
        weights = np.repeat(weights, repeats, axis=0)
        return {"weights_": weights[: self.n_components], "phases_": phases[: self.n_components]}

    def _scale_of_points(self) -> float:
        """Return the factor that turns points into multiples of the length scale."""
        return (EARTH_RADIUS_KM if self.space == "sphere" else 1.0) / self.length_scale

    def _degree_shares(self) -> tuple[np.ndarray, float]:
        """Shares of the degrees that matter, and of the variance above all of them."""
        field = {
            "spectrum": _SPHERE_KERNELS[self.kernel],
            "nu": float(self.nu),
            "kappa": float(self.length_scale) / EARTH_RADIUS_KM,
            "decay": 0.0,
        }
        shares, left_out = degree_variances(degree=_HIGHEST_DEGREE, **field)
        shares = shares[: np.searchsorted(np.cumsum(shares), 1 - _NEGLIGIBLE) + 1]
        return shares / shares.sum(), left_out

    def _seen_in_fit(self, X: Any) -> tuple[np.ndarray, ...]:
        return super()._seen_in_fit(X) if self.space == "sphere" else ()

    def _check_plane(self, X: Any, *, reset: bool) -> Any:
        if is_geometry(X):
            raise TypeError(
                "RandomFourierFeatures(space='plane') reads columns, got geometries. Pass their "
                "X.get_coordinates(), or take space='sphere', which reads geometries."
            )
        xp, _, device = get_namespace_and_device(X)
        X = validate_data(
            self,
            X,
            reset=reset,
            dtype=supported_float_dtypes(xp, device=device),
            ensure_all_finite="allow-nan",
        )
        # The compiled kernel knows one layout.
        return np.require(X, requirements=["C", "A", "W"]) if isinstance(X, np.ndarray) else X

    def _read(self, X: Any) -> tuple[tuple[Any, ...], Any]:
        """Check X; one table, of all columns or of longitude and latitude, and its namespace."""
        check_is_fitted(self)
        if self.space == "sphere":
            (lon, lat), xp = super()._read(X)
            return (xp.stack([lon, lat], axis=1),), xp
        self._validate_params()
        check_same_namespace(X, self, attribute="weights_", method="transform")
        X = self._check_plane(X, reset=False)
        return (X,), np if isinstance(X, np.ndarray) else get_namespace_and_device(X)[0]

    def _points(self, X: Any) -> np.ndarray:
        """Points over the length scale, or unit vectors, as NumPy float64."""
        (table,), xp = self._read(X)
        if xp is not np:
            table = move_to(table, xp=np, device=None)
        points = self._to_points(table.astype(np.float64), np)
        if self.kernel in _SPHERE_KERNELS:
            return points
        return points * self._scale_of_points() * (2 * np.pi if self.mapping == "tancik" else 1)

    def _to_points(self, table: Any, xp: Any) -> Any:
        """Table of `_read` as points, on the sphere in double precision where there is any."""
        if self.space == "plane":
            return table
        table = in_double(table, xp)
        return unit_vectors(table[:, 0], table[:, 1], xp)

    def _fitted(self, name: str, xp: Any, device: Any) -> Any:
        """Fitted array in the namespace of the arithmetic, which need not be that of `fit`."""
        values = getattr(self, name)
        if xp is np and isinstance(values, np.ndarray):
            return values
        if xp is np and hasattr(values, "cpu"):
            # move_to knows tensors by a setting of scikit-learn that worker threads do not see.
            return values.cpu().numpy()
        return move_to(values, xp=xp, device=None if xp is np else device)

    def _encode(self, table: Any, xp: Any, out: np.ndarray | None = None) -> Any:
        points = self._to_points(table, xp)
        weights = self._fitted("weights_", xp, table.device)
        if self.kernel in _SPHERE_KERNELS:
            degrees = self._fitted("degrees_", np, None)
            scale = 1 / math.sqrt(self.n_components)
            features = zonal_functions(points, weights, degrees, scale, xp, out=out)
        else:
            phases = self._fitted("phases_", xp, table.device) if self.mapping == "cos" else None
            if self.mapping == "tancik":
                weights, scale = 2 * math.pi * weights, 1.0
            else:
                scale = math.sqrt(2 / self.n_components)
            features = random_waves(points, weights, phases, scale, xp, out=out)
        return features if out is not None else xp.astype(features, table.dtype)
