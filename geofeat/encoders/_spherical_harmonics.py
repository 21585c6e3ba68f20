"""SphericalHarmonicsEncoder: real spherical harmonics of the place on Earth."""

from __future__ import annotations

from functools import lru_cache
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np

from geofeat._base import LocationTransformer
from geofeat._coordinates import EARTH_RADIUS_KM
from geofeat._sklearn import Interval, StrOptions
from geofeat._warnings import warn_caller
from geofeat.exceptions import SpectrumWarning
from geofeat.kernels._degree_variances import degree_variances
from geofeat.kernels._spherical_harmonics import MAX_DEGREE, spherical_harmonics


class SphericalHarmonicsEncoder(LocationTransformer):
    """Encode a place by the real spherical harmonics up to a degree [1]_ [2]_.

    The functions are smooth on the whole sphere: nothing special happens at the poles or at the
    antimeridian, and a linear model on them is a truncated Laplace series. A degree l resolves
    structures down to about 20 000 / l km.

    Parameters
    ----------
    degree : int, default=10
        Highest degree l, 0 to 700, inclusive. SatCLIP's ``legendre_polys=L`` is ``degree=L - 1``.
    convention : {"locationencoder", "satclip", "geodesy"}, default="locationencoder"
        Sign and scale of the columns.

        - "geodesy": orthonormal on the unit sphere, of geographic longitude and latitude,
          without Condon-Shortley phase.
        - "locationencoder": degree l times (-1)**l, as published for location encoders [1]_.
        - "satclip": as "locationencoder" with the zonal columns (m = 0) times pi, the form
          that the weights of SatCLIP [2]_ were trained on.
    degree_decay : float, default=0.0
        Columns of degree l are multiplied by ``(1 + l)**-degree_decay``. A ridge penalty on
        decayed columns prefers smooth maps.
    spectrum : {"matern", "heat", "power"}, default=None
        Scale the columns such that they are those of a random field of variance 1 with a known
        covariance: ``transform(X) @ transform(Y).T`` is that covariance, `covariance` gives it by
        distance, and a ridge regression with ``alpha`` = noise variance / field variance is
        kriging with it. Variance of the coefficients of degree l, up to a constant:

        - "matern": ``(2 nu / kappa**2 + l (l+1))**(-nu - 1)``, the Matern field on the sphere
          [4]_ [5]_; kappa is ``length_scale`` over the radius of the Earth.
        - "heat": ``exp(-kappa**2 l (l+1) / 2)``, its limit for large ``nu``, which is the
          Gaussian kernel of the sphere.
        - "power": ``(1 + l)**(-2 degree_decay)``.

        None applies ``degree_decay`` alone and leaves the variance as it comes.
    nu : float, default=1.5
        Smoothness of "matern"; 0.5 is rough (nearly exponential), 2.5 smooth.
    length_scale : float, default=1000.0
        Length scale of "matern" and "heat" in km, as in scikit-learn's kernels.
    device : str, default=None
        None computes where X is. "cuda", "mps", "cpu" or any torch device moves the coordinates
        there, computes, and returns the result as X's kind. Needs torch.

    Attributes
    ----------
    bounds_ : array of shape (4,)
        West, south, east, north of the fitted points, in degrees.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, where X had names.
    variance_left_out_ : float
        Share of the field's variance above ``degree``, for "matern" and "heat"; 0 otherwise. A
        `SpectrumWarning` tells when it is more than half.

    Notes
    -----
    The output has ``(degree + 1)**2`` columns; order m = -l .. l of degree l stands in column
    ``l * l + l + m`` and is called ``sh_l3_m-2``. Negative orders are the sine terms.

    Arithmetic is float64 whatever the dtype of X and the result is rounded once, so float32
    output is as exact as float32 can be. The recursion keeps float64 within 1e-13 at degree 39
    and within 3e-12 at degree 199, poles included. On Apple's "mps" device, which lacks float64,
    it runs in float32 and is good to about 1e-5 at degree 39.

    The covariance of a ``spectrum`` is truncated at ``degree`` and then scaled to variance 1. What
    is left out is smaller than the columns can resolve and acts as noise. A degree of 40 000 km /
    ``length_scale`` leaves out 16 % of the variance with ``nu=0.5``, 2 % with 1.5, 0.4 % with 2.5
    and nothing to speak of with "heat"; half that degree leaves out 30, 11, 6 and 1 %.

    References
    ----------
    .. [1] M. Russwurm, K. Klemmer, E. Rolf, R. Zbinden, D. Tuia, "Geographic location encoding
       with spherical harmonics and sinusoidal representation networks", ICLR 2024.
    .. [2] K. Klemmer, E. Rolf, C. Robinson, L. Mackey, M. Russwurm, "SatCLIP: global,
       general-purpose location embeddings with satellite imagery", AAAI 2025.
    .. [3] S. A. Holmes, W. E. Featherstone, "A unified approach to the Clenshaw summation and
       the recursive computation of very high degree and order normalised associated Legendre
       functions", Journal of Geodesy 76, 2002. doi:10.1007/s00190-002-0216-2.
    .. [4] F. Lindgren, H. Rue, J. Lindstrom, "An explicit link between Gaussian fields and
       Gaussian Markov random fields: the stochastic partial differential equation approach",
       Journal of the Royal Statistical Society B 73, 2011. doi:10.1111/j.1467-9868.2011.00777.x.
    .. [5] V. Borovitskiy, A. Terenin, P. Mostowsky, M. P. Deisenroth, "Matern Gaussian processes
       on Riemannian manifolds", NeurIPS 2020.

    Examples
    --------
    >>> from geofeat import SphericalHarmonicsEncoder
    >>> encoder = SphericalHarmonicsEncoder(degree=1, convention="geodesy")
    >>> encoder.transform([[0.0, 0.0], [90.0, 0.0], [0.0, 90.0]]).round(3) + 0.0
    array([[0.282, 0.   , 0.   , 0.489],
           [0.282, 0.489, 0.   , 0.   ],
           [0.282, 0.   , 0.489, 0.   ]])
    >>> encoder.get_feature_names_out().tolist()
    ['sh_l0_m0', 'sh_l1_m-1', 'sh_l1_m0', 'sh_l1_m1']

    Kriging with a Matern covariance is a ridge regression:

    >>> field = SphericalHarmonicsEncoder(degree=20, spectrum="matern", length_scale=2000.0)
    >>> field.covariance([0.0, 1000.0, 4000.0]).round(2)
    array([1.  , 0.81, 0.15])
    >>> columns = field.transform([[0.0, 0.0], [0.0, 8.99320363724538]])  # 1000 km apart
    >>> (columns @ columns.T).round(2)
    array([[1.  , 0.81],
           [0.81, 1.  ]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "degree": [Interval(Integral, 0, MAX_DEGREE, closed="both")],
        "convention": [StrOptions({"locationencoder", "satclip", "geodesy"})],
        "degree_decay": [Interval(Real, 0, None, closed="left")],
        "spectrum": [StrOptions({"matern", "heat", "power"}), None],
        "nu": [Interval(Real, 0, None, closed="neither")],
        "length_scale": [Interval(Real, 0, None, closed="neither")],
        "device": [str, None],
    }

    def __init__(
        self,
        degree: int = 10,
        *,
        convention: str = "locationencoder",
        degree_decay: float = 0.0,
        spectrum: str | None = None,
        nu: float = 1.5,
        length_scale: float = 1000.0,
        device: str | None = None,
    ):
        self.degree = degree
        self.convention = convention
        self.degree_decay = degree_decay
        self.spectrum = spectrum
        self.nu = nu
        self.length_scale = length_scale
        self.device = device

    @property
    def _n_features_out(self) -> int:
        return int((self.degree + 1) ** 2)

    def _feature_names(self) -> list[str]:
        return [f"sh_l{l}_m{m}" for l in range(self.degree + 1) for m in range(-l, l + 1)]

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check X and keep its bounds; nothing is learnt from it.

        Parameters
        ----------
        X : array-like, data frame or geometry of shape (n_samples, n_columns >= 2)
            Longitude and latitude in degrees in the first two columns, or points in any CRS.
        y : None
            Ignored.

        Returns
        -------
        self : SphericalHarmonicsEncoder
            The encoder itself.
        """
        super().fit(X, y)
        self.variance_left_out_ = 0.0
        if self.spectrum is not None:
            self.variance_left_out_ = degree_variances(**self._field())[1]
        if self.variance_left_out_ > 0.5:
            warn_caller(
                f"SphericalHarmonicsEncoder(degree={self.degree}) leaves out "
                f"{self.variance_left_out_:.0%} of the variance of spectrum={self.spectrum!r} with "
                f"length_scale={self.length_scale:g} km: the covariance is much smoother than "
                "asked for. Take a degree of 20000 / length_scale or more, or a longer "
                "length_scale.",
                SpectrumWarning,
            )
        return self

    def covariance(self, distance: Any) -> np.ndarray:
        """Covariance of the field whose columns these are, by distance.

        This is exactly what the columns of two places that far apart give as their dot product.

        Parameters
        ----------
        distance : array-like
            Great-circle distances in km, on a sphere of radius 6371.0088 km.

        Returns
        -------
        covariance : ndarray
            Of the shape of ``distance``, float64; 1 at distance 0 unless ``spectrum`` is None.

        Raises
        ------
        ValueError
            With ``convention="satclip"``, whose columns have no covariance by distance.
        """
        self._validate_params()
        if self.convention == "satclip":
            raise ValueError(
                "The zonal columns of convention='satclip' are times pi, so their covariance is "
                "not a function of distance. Take convention='geodesy' or 'locationencoder'."
            )
        odd = 2 * np.arange(self.degree + 1) + 1
        shares = odd * np.square(self._degree_factors()) / (4 * np.pi)
        angle = np.asarray(distance, dtype=np.float64) / EARTH_RADIUS_KM
        return np.polynomial.legendre.legval(np.cos(angle), shares)

    def _validate_params(self) -> None:
        super()._validate_params()
        if self.spectrum is None:
            return
        if self.convention == "satclip":
            raise ValueError(
                f"spectrum={self.spectrum!r} needs orthonormal columns, and the zonal ones of "
                "convention='satclip' are times pi. Take convention='geodesy' or "
                "'locationencoder'."
            )
        if self.spectrum != "power" and self.degree_decay != 0:
            raise ValueError(
                f"spectrum={self.spectrum!r} and degree_decay={self.degree_decay:g} both say how "
                "columns fall with the degree. Leave degree_decay at 0, or take spectrum='power'."
            )

    def _field(self) -> dict[str, Any]:
        """Arguments of `degree_variances`."""
        return {
            "spectrum": self.spectrum,
            "degree": int(self.degree),
            "nu": float(self.nu),
            "kappa": float(self.length_scale) / EARTH_RADIUS_KM,
            "decay": float(self.degree_decay),
        }

    def _degree_factors(self) -> tuple[float, ...]:
        return _degree_factors(**self._field())

    def _encode(self, lon: Any, lat: Any, xp: Any, out: np.ndarray | None = None) -> Any:
        return spherical_harmonics(
            lon,
            lat,
            self.degree,
            xp,
            convention=self.convention,
            degree_factors=self._degree_factors(),
            out=out,
        )


@lru_cache(maxsize=32)
def _degree_factors(
    spectrum: str | None, degree: int, nu: float, kappa: float, decay: float
) -> tuple[float, ...]:
    """Return what the columns of each degree are multiplied by."""
    l = np.arange(degree + 1)
    if spectrum is None:
        factors = (1.0 + l) ** -decay
    else:
        shares, _ = degree_variances(spectrum, degree, nu=nu, kappa=kappa, decay=decay)
        factors = np.sqrt(4 * np.pi * shares / (2 * l + 1))
    return tuple(factors.tolist())
