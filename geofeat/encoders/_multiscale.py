"""MultiScaleEncoder: sines and cosines of the place at many scales, Space2Vec and Sphere2Vec."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from geofeat._base import LocationTransformer
from geofeat._sklearn import Interval, StrOptions
from geofeat.encoders._multiscale_columns import KINDS, Columns, multiscale_columns
from geofeat.kernels._fourier import fourier_products

# Smallest and largest radius where none is given, by unit.
_RADII = {"degrees": (1.0, 360.0), "radians": (0.01, 1.0)}


class MultiScaleEncoder(LocationTransformer):
    """Encode a place by sines and cosines at a geometric series of scales.

    Space2Vec [1]_ (kinds "grid" and "theory") and Sphere2Vec [2]_ (the others), in the form of
    their papers or in the form of the library `locationencoder` [3]_, number for number.

    Parameters
    ----------
    kind : {"grid", "theory", "spherec", "spherec+", "spherem", "spherem+", "dfs"}, \
            default="spherec+"
        Which products of sines and cosines the columns are, see Notes.
    n_frequencies : int, default=16
        Number of scales F.
    min_radius, max_radius : float, default=None
        Frequencies fall from ``1 / min_radius`` to ``1 / max_radius``; in `units`. A column's
        wavelength at radius r is ``2 pi r``. None takes 1 and 360 for degrees, 0.01 and 1 for
        radians. At least 1e-9.
    convention : {"locationencoder", "sphere2vec"}, default="locationencoder"
        - "locationencoder": degrees go into the sines as if they were radians, the columns of
          the sphere kinds stand twice in a row, and "theory" with an odd F swaps sine and cosine
          in its second half, where one cosine is lost to a second copy of its sine. Take it to use
          weights or to repeat results of that library.
        - "sphere2vec": the papers' definition, radians and every column once. Take it for new
          work: with ``max_radius=1`` the coarsest columns are those of the unit vector, so that
          they, unlike all of the other convention, meet at the antimeridian.
    units : {"degrees", "radians"}, default=None
        Unit of the numbers that enter the sines and of both radii. None leaves it to the
        convention.
    duplicate : bool, default=None
        Whether each column of a sphere kind is written twice. None leaves it to the convention.
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

    Notes
    -----
    With frequencies f_i, i = 0 .. F - 1, longitude and latitude u, v, u_i = f_i u and v_i = f_i v
    the columns are, in this order:

    =========  ======  =====================================================================
    kind       number  columns
    =========  ======  =====================================================================
    grid       4F      for u, then v: for each i: sin, cos
    theory     6F      for each i: sin, cos along three directions 120 degrees apart
    spherec    3F      for each i: sin v_i, cos v_i cos u_i, cos v_i sin u_i
    spherec+   6F      for each i: sin v_i, cos v_i, sin u_i, cos u_i, cos v_i cos u_i,
                       cos v_i sin u_i
    spherem    5F      for each i: sin v_i, cos v_i cos u, cos v cos u_i, cos v_i sin u,
                       cos v sin u_i
    spherem+   8F      for each i: sin v_i, cos v_i, sin u_i, cos u_i, then spherem's products
    dfs        4F²+4F  each of sin u_i, cos u_i times each of sin v_j, cos v_j, then each alone
    =========  ======  =====================================================================

    and twice as many sphere columns with ``duplicate=True``. The order within "dfs" is ours: the
    paper gives a set.

    Longitude is read in [-180, 180), as everywhere here, so a point at 180 degrees gets the code of
    -180. Where the library got 180 its numbers are those of the other side of the seam.

    References
    ----------
    .. [1] G. Mai, K. Janowicz, B. Yan, R. Zhu, L. Cai, N. Lao, "Multi-scale representation learning
       for spatial feature distributions using grid cells", ICLR 2020. arXiv:2003.00824.
    .. [2] G. Mai, Y. Xuan, W. Zuo, Y. He, J. Song, S. Ermon, K. Janowicz, N. Lao, "Sphere2Vec: a
       general-purpose location representation learning over a spherical surface for large-scale
       geospatial predictions", ISPRS Journal of Photogrammetry and Remote Sensing 202, 2023.
       arXiv:2201.10489.
    .. [3] M. Russwurm, K. Klemmer, E. Rolf, R. Zbinden, D. Tuia, "Geographic location encoding
       with spherical harmonics and sinusoidal representation networks", ICLR 2024.

    Examples
    --------
    >>> from geofeat import MultiScaleEncoder
    >>> encoder = MultiScaleEncoder("spherec", n_frequencies=2, convention="sphere2vec")
    >>> encoder.get_feature_names_out()[:3].tolist()
    ['sin_lat_0', 'cos_lat_0*cos_lon_0', 'cos_lat_0*sin_lon_0']
    >>> encoder.transform([[90.0, 0.0]])[:, 3:].round(3) + 0.0
    array([[0., 0., 1.]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "kind": [StrOptions(set(KINDS))],
        "n_frequencies": [Interval(Integral, 1, None, closed="left")],
        "min_radius": [Interval(Real, 1e-9, None, closed="left"), None],
        "max_radius": [Interval(Real, 1e-9, None, closed="left"), None],
        "convention": [StrOptions({"locationencoder", "sphere2vec"})],
        "units": [StrOptions(set(_RADII)), None],
        "duplicate": ["boolean", None],
        "device": [str, None],
    }

    def __init__(
        self,
        kind: str = "spherec+",
        *,
        n_frequencies: int = 16,
        min_radius: float | None = None,
        max_radius: float | None = None,
        convention: str = "locationencoder",
        units: str | None = None,
        duplicate: bool | None = None,
        device: str | None = None,
    ):
        self.kind = kind
        self.n_frequencies = n_frequencies
        self.min_radius = min_radius
        self.max_radius = max_radius
        self.convention = convention
        self.units = units
        self.duplicate = duplicate
        self.device = device

    @property
    def _n_features_out(self) -> int:
        return int(self._columns().factors.shape[1])

    def _feature_names(self) -> list[str]:
        return list(self._columns().names)

    def _validate_params(self) -> None:
        super()._validate_params()
        self._columns()

    def _units(self) -> str:
        published = "degrees" if self.convention == "locationencoder" else "radians"
        return published if self.units is None else self.units

    def _columns(self) -> Columns:
        as_library = self.convention == "locationencoder"
        spherical = self.kind.startswith("sphere")
        if self.duplicate is not None and not spherical:
            raise ValueError(
                f"MultiScaleEncoder(kind={self.kind!r}, duplicate={self.duplicate}): only the "
                "sphere kinds have columns that stand twice; leave duplicate=None."
            )
        radii = (self.min_radius, self.max_radius)
        min_radius, max_radius = (
            float(preset if radius is None else radius)
            for radius, preset in zip(radii, _RADII[self._units()], strict=True)
        )
        if min_radius > max_radius:
            raise ValueError(
                f"MultiScaleEncoder: min_radius={min_radius:g} is above max_radius={max_radius:g} "
                f"(in {self._units()})."
            )
        twice = as_library if self.duplicate is None else self.duplicate
        return multiscale_columns(
            self.kind,
            int(self.n_frequencies),
            min_radius,
            max_radius,
            spherical and bool(twice),
            as_library,
        )

    def _encode(self, lon: Any, lat: Any, xp: Any, out: np.ndarray | None = None) -> Any:
        rates, factors, _ = self._columns()
        in_degrees = self._units() == "radians"  # the true angles, which the kernel takes so
        return fourier_products((lon, lat), rates, factors, xp, in_degrees=in_degrees, out=out)
