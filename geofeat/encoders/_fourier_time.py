"""FourierTimeEncoder: times as waves, or polynomials, of the year and of other cycles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted, validate_data

from geofeat._coordinates import as_table
from geofeat._rows import RowTransformer
from geofeat._sklearn import Interval, StrOptions, _fit_context, check_same_namespace
from geofeat._warnings import warn_caller
from geofeat.encoders._time_columns import UNITS, TimeTable, days_of, read_times
from geofeat.exceptions import TimesWarning
from geofeat.kernels._calendar import cycle_fraction, year_fraction
from geofeat.kernels._curves import (
    copy_steps,
    legendre_steps,
    monomial_steps,
    polynomials,
    triangle_waves,
)
from geofeat.kernels._fourier import ONE, cosine_term, fourier_products, sine_term
from geofeat.kernels._precision import in_double

# First day since 1970-01-01, and days, of one cycle. 1969-12-29 was a Monday.
_CYCLES = {"day": (0.0, 1.0), "week": (-3.0, 7.0)}
_PERIODS = {*_CYCLES, "year", "span"}
_POLYNOMIALS = {"legendre": legendre_steps, "monomial": monomial_steps, "copy": copy_steps}
_WAVES = {"fourier": ("sin", "cos"), "triangle": ("trisin", "tricos")}
# A polynomial may grow to this beyond the span before a word is said about it.
_GROWTH = 2.0


class FourierTimeEncoder(RowTransformer):
    r"""Encode times by waves of the year, the week, the day or any other period.

    Every time column and every period gives the columns of one ``kind``. With f, the elapsed share
    of the period, tau = 2 f - 1 in [-1, 1) and k = 1 .. n_harmonics they are

    - "fourier": :math:`\sin(2 \pi k f), \cos(2 \pi k f)`; continuous from one period to the next;
    - "triangle": straight lines between the zeros and extremes of these sines and cosines;
    - "legendre": the Legendre polynomials :math:`P_k(\tau)`;
    - "monomial": the powers :math:`\tau^k`;
    - "copy": :math:`\tau`, as often.

    These are the five encodings of time that [1]_ compares, by name; its formulas are not
    published, so the definitions, and the order of the columns, are ours.

    Parameters
    ----------
    periods : sequence of str or float, default=("year",)
        One or several of

        - "year": the calendar year. f is the time since 1 January over the 365 or 366 days of this
          very year, so every year begins at 0 and has its middle at 1/2, for ever;
        - "week": seven days from Monday 00:00;
        - "day": 24 hours from 00:00;
        - a number of days, counted from 1970-01-01: 365.25 is the year without the calendar, as in
          `HarmonicFeatures`, 29.530589 the lunar month, 3652.5 ten years;
        - "span": the time between two dates, see ``span``, which begins anew beyond its end for the
          waves and goes on growing for polynomials. Take it with a polynomial for what does not
          return: a trend.
    n_harmonics : int, default=1
        Number of waves, or highest degree.
    kind : {"fourier", "legendre", "monomial", "triangle", "copy"}, default="fourier"
        Which functions of the period.
    include_bias : bool, default=False
        Whether a column of ones comes first. A product with the encoding of a place needs it for
        what does not change in time, see `SpaceTimeEncoder`.
    unit : {"days", "seconds", "milliseconds", "years"}, default="days"
        What numbers count: days, seconds or milliseconds since 1970-01-01T00:00, or years such as
        2020.5, halfway through 2020. Dates need no unit.
    span : pair of dates or numbers, default=None
        Begin and end of the period "span": anything that is a time in X, numbers in ``unit``. None
        takes the first and last time seen in `fit`.
    device : str, default=None
        None computes where X is. "cuda", "mps", "cpu" or any torch device moves the times there,
        computes, and returns the result as X's kind. Needs torch.

    Attributes
    ----------
    span_ : array of shape (2,)
        First and last time seen in `fit`, or ``span``, in days since 1970-01-01.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, where X had names.

    Notes
    -----
    X has any number of time columns: datetime64 of any unit, columns of pandas or polars with or
    without time zone, ``datetime`` objects, ISO 8601 text, or numbers; in a data frame each column
    may be of another kind. A pandas or polars Series or index is one column. Dates with a time
    zone are converted to UTC, those without are UTC: "day" and "week" are those of UTC.

    A missing time makes its row NaN. float32 numbers give float32 features, all else float64;
    arithmetic is float64, which holds a time of this century to 4e-12 days, 0.3 microseconds, and
    any of the years 1 to 9999 to 1e-9 days.

    With one time column the names are ``year_sin1``, ``year_cos1``, ``7d_sin1``, ...; with several
    each begins with that of its column, ``sown_year_sin1``, or ``x0_year_sin1`` where X has none.

    Only "span" without dates learns, the span, and needs `fit`.

    References
    ----------
    .. [1] D. Mickisch, K. Klemmer, M. Russwurm, E. Rolf, M. Teng, D. Rolnick, "A joint space-time
       encoder for geographic time-series data", ICLR 2025 workshop.
    .. [2] O. Mac Aodha, E. Cole, P. Perona, "Presence-only geographical priors for fine-grained
       image classification", ICCV 2019. Encodes the date as here with one harmonic, but for the
       sign.

    Examples
    --------
    >>> import numpy as np
    >>> from geofeat import FourierTimeEncoder
    >>> dates = np.array([["2023-01-01"], ["2023-07-02T12"], ["2024-07-02"]], dtype="M8[h]")
    >>> encoder = FourierTimeEncoder()
    >>> encoder.fit_transform(dates) + 0.0
    array([[ 0.,  1.],
           [ 0., -1.],
           [ 0., -1.]])
    >>> encoder.get_feature_names_out().tolist()
    ['year_sin1', 'year_cos1']

    A trend over the dates seen, as Legendre polynomials:

    >>> FourierTimeEncoder("span", kind="legendre", n_harmonics=2).fit_transform(dates).round(2)
    array([[-1.  ,  1.  ],
           [-0.33, -0.33],
           [ 1.  ,  1.  ]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "periods": [
            "array-like",
            StrOptions(_PERIODS),
            Interval(Real, 0, None, closed="neither"),
        ],
        "n_harmonics": [Interval(Integral, 1, None, closed="left")],
        "kind": [StrOptions({*_WAVES, *_POLYNOMIALS})],
        "include_bias": ["boolean"],
        "unit": [StrOptions(set(UNITS))],
        "span": ["array-like", None],
        "device": [str, None],
    }

    def __init__(
        self,
        periods: Sequence[str | float] | str | float = ("year",),
        *,
        n_harmonics: int = 1,
        kind: str = "fourier",
        include_bias: bool = False,
        unit: str = "days",
        span: Any = None,
        device: str | None = None,
    ):
        self.periods = periods
        self.n_harmonics = n_harmonics
        self.kind = kind
        self.include_bias = include_bias
        self.unit = unit
        self.span = span
        self.device = device

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Check X and keep its first and last time.

        Parameters
        ----------
        X : array-like, data frame or series of shape (n_samples, n_columns)
            Times, see Notes of the class.
        y : None
            Ignored.

        Returns
        -------
        self : FourierTimeEncoder
            The encoder itself.
        """
        table = self._read_table(X, reset=True)
        first, last = (table.first, table.last) if self.span is None else self._given_span()
        if "span" in self._periods() and not first < last:
            raise ValueError(
                "FourierTimeEncoder: the period 'span' has no length, because X "
                f"({table.times.shape[0]} sample{'s' * (table.times.shape[0] > 1)}) or span= does "
                "not hold a time and a later one. Give span=(begin, end)."
            )
        self.span_ = np.array([first, last])
        if table.xp is not np:
            dtype = in_double(table.times[:1, 0], table.xp).dtype
            self.span_ = table.xp.asarray([first, last], dtype=dtype, device=table.times.device)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = self.span is None and "span" in self._periods()
        tags.input_tags.string = True
        return tags

    @property
    def _n_features_out(self) -> int:
        return int(self.include_bias) + self._n_columns() * len(self._functions())

    def _feature_names(self) -> list[str]:
        n_columns, functions = self._n_columns(), self._functions()
        given = getattr(self, "feature_names_in_", [f"x{at}" for at in range(n_columns)])
        prefixes = [f"{name}_" for name in given] if n_columns > 1 else [""]
        names = [prefix + function for prefix in prefixes for function in functions]
        return ["bias", *names] if self.include_bias else names

    def _functions(self) -> list[str]:
        """Names of the columns that one column of times becomes."""
        functions = _WAVES.get(self.kind, (self.kind,))
        return [
            f"{_period_name(period)}_{function}{k}"
            for period in self._periods()
            for k in range(1, self.n_harmonics + 1)
            for function in functions
        ]

    def _n_columns(self) -> int:
        return int(getattr(self, "n_features_in_", 1))

    def _fitted_to(self, X: Any) -> Self:
        """Return this encoder, or its copy that knows how many columns X has."""
        check_is_fitted(self)
        return self if hasattr(self, "n_features_in_") else clone(self).fit(X)

    def _periods(self) -> list[Any]:
        single = isinstance(self.periods, str | Real)
        return [self.periods] if single else list(self.periods)  # type: ignore[arg-type]

    def _validate_params(self) -> None:
        super()._validate_params()
        periods = self._periods()
        for period in periods:
            is_length = isinstance(period, Real) and not isinstance(period, bool)
            is_name = isinstance(period, str) and period in _PERIODS
            if not is_name and not (is_length and 0 < period < np.inf):
                raise ValueError(
                    f"FourierTimeEncoder: periods holds {period!r}; a period is "
                    f"{', '.join(repr(name) for name in sorted(_PERIODS))}, or a positive number "
                    "of days."
                )
        if not periods or len({_period_name(period) for period in periods}) < len(periods):
            raise ValueError(f"FourierTimeEncoder needs different periods, got {self.periods!r}.")

    def _given_span(self) -> tuple[float, float]:
        table = as_table([[time] for time in self.span], type(self).__name__, "a time", "time")
        table = read_times(table, "span of FourierTimeEncoder", self.unit, as_numbers=True)
        begin, end = days_of(table.times[:, 0], self.unit, np).tolist()
        return begin, end

    def _read_table(self, X: Any, *, reset: bool) -> TimeTable:
        X = self._as_table(X)
        if not reset:
            check_same_namespace(X, self, attribute="span_", method="transform")
        table = self._times_of(X)
        validate_data(self, X, reset=reset, skip_check_array=True)
        return table

    def _as_table(self, X: Any) -> Any:
        X = X.to_frame() if hasattr(X, "to_frame") else X
        return as_table(X, type(self).__name__, "a sample, times as columns", "sample")

    def _times_of(self, table: Any) -> TimeTable:
        as_numbers = self.device is not None
        return read_times(table, type(self).__name__, self.unit, as_numbers=as_numbers)

    def _seen_in_fit(self, X: Any) -> tuple[np.ndarray, ...]:
        return (self._times_of(self._as_table(X)).times,)

    def _read(self, X: Any) -> tuple[tuple[Any, ...], Any]:
        self._validate_params()
        table = self._read_table(X, reset=False)
        self._warn_beyond_span(table)
        return (table.times,), table.xp

    def _warn_beyond_span(self, table: TimeTable) -> None:
        if "span" not in self._periods() or self.kind not in {"legendre", "monomial"}:
            return
        begin, end = self._span()
        farthest = max(abs(2 * (day - begin) / (end - begin) - 1) for day in table[2:])
        if self.n_harmonics * math.log(max(farthest, 1.0)) > math.log(_GROWTH):
            since = np.datetime64("1970-01-01")
            dates = [since + round(day) for day in (table.first, table.last, begin, end)]
            warn_caller(
                f"FourierTimeEncoder(kind={self.kind!r}, n_harmonics={self.n_harmonics}): X goes "
                f"from {dates[0]} to {dates[1]}, beyond the span from {dates[2]} to {dates[3]}, "
                f"where polynomials grow: tau reaches {farthest:.3g}. Give a longer span=, or take "
                "waves.",
                TimesWarning,
            )

    def _span(self) -> tuple[float, float]:
        return float(self.span_[0]), float(self.span_[1])

    def _result_dtype(self, dtype: Any) -> Any:
        return np.dtype(np.float64) if getattr(dtype, "kind", "f") == "M" else dtype

    def _encode(self, times: Any, xp: Any, out: np.ndarray | None = None) -> Any:
        columns = [days_of(times[:, at], self.unit, xp) for at in range(times.shape[1])]
        fractions = [
            self._fraction(period, days, xp) for days in columns for period in self._periods()
        ]
        n, bias = int(self.n_harmonics), bool(self.include_bias)
        if self.kind in _POLYNOMIALS:
            taus = tuple(2 * fraction - 1 for fraction in fractions)
            steps = _POLYNOMIALS[self.kind](n)
            features = polynomials(taus, steps, xp, constant=bias, out=out)
        elif self.kind == "triangle":
            features = triangle_waves(tuple(fractions), n, xp, constant=bias, out=out)
        else:
            rates, factors = _waves(len(fractions), n, bias)
            features = fourier_products(
                tuple(fractions), rates, factors, xp, in_degrees=True, out=out
            )
        return features if xp is np else xp.astype(features, times.dtype)

    def _fraction(self, period: Any, days: Any, xp: Any) -> Any:
        """Elapsed share of a period."""
        if period == "year":
            return year_fraction(days, xp)
        if period == "span":
            begin, end = self._span()
            if self.kind in _POLYNOMIALS:
                return (days - begin) / (end - begin)
            return cycle_fraction(days, begin, end - begin, xp)
        origin, length = _CYCLES.get(period, (0.0, period))
        return cycle_fraction(days, origin, length, xp)


def _period_name(period: Any) -> str:
    if isinstance(period, str):
        return period
    return np.format_float_positional(float(period), trim="-") + "d"


@lru_cache(maxsize=32)
def _waves(n_fractions: int, n_harmonics: int, bias: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rates and factors of `fourier_products`; the constant is a cosine that stands still."""
    harmonics = 360.0 * np.arange(1, n_harmonics + 1)
    rates = np.kron(np.eye(n_fractions), harmonics[:, np.newaxis])
    phases = range(len(rates))
    terms = [term(phase) for phase in phases for term in (sine_term, cosine_term)]
    if bias:
        rates = np.vstack([rates, np.zeros(n_fractions)])
        terms = [cosine_term(len(rates) - 1), *terms]
    factors = np.array([terms, [ONE] * len(terms)])
    rates.flags.writeable = factors.flags.writeable = False
    return rates, factors
