"""Simulated Sentinel-2-like series: how seven species look through the year, and the clouds."""

from __future__ import annotations

import numpy as np

from geofeat.datasets._landscape import Landscape

BAND_NAMES = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
TRAIT_NAMES = (
    "winter",
    "closure",
    "green_up",
    "senescence",
    "nir",
    "swir",
    "pigment",
    "height",
    "roughness",
)
STEP_DAYS = 5
CLOUD_SHARE = 0.55

# Invented, of a plausible order. Columns as TRAIT_NAMES: canopy cover in winter and summer, day of
# the year of green-up and senescence, brightness of the crowns in near and short-wave infrared and
# in the visible relative to the common crown below, and height and roughness of the canopy, which
# the optical series do not see. One row a species of `_landscape.SPECIES`.
SPECIES_TRAITS = np.array(
    [
        [0.62, 0.72, 128.0, 292.0, 0.88, 1.10, 1.06, 0.2, -0.3],
        [0.16, 0.86, 121.0, 305.0, 1.17, 1.00, 0.98, 0.0, 1.2],
        [0.76, 0.90, 131.0, 290.0, 0.93, 0.76, 0.90, 1.8, 0.4],
        [0.10, 0.92, 114.0, 298.0, 1.25, 0.97, 0.93, 0.9, 0.5],
        [0.20, 0.70, 105.0, 286.0, 1.10, 1.13, 1.12, -1.5, -0.2],
        [0.14, 0.80, 102.0, 309.0, 1.02, 0.98, 1.06, 0.7, -1.4],
        [0.80, 0.86, 136.0, 284.0, 0.80, 0.70, 0.84, 0.5, -1.2],
    ]
)
# How far parcels, single plots and slow drifts over the region move a trait.
PARCEL_SPREAD = np.array([0.075, 0.055, 4.5, 6.5, 0.075, 0.085, 0.065, 0.55, 0.45])
PLOT_SPREAD = np.array([0.055, 0.050, 3.5, 5.5, 0.060, 0.070, 0.055, 0.30, 0.40])
_REGION_SPREAD = np.array(
    [
        [0.00, 0.00, 3.0, -2.0, 0.00, 0.03, 0.00, 0.0, 0.2],
        [0.03, 0.00, 0.0, 4.0, 0.04, 0.00, 0.02, 0.2, 0.0],
        [-0.02, 0.03, 0.0, 0.0, 0.03, -0.03, 0.03, 0.0, 0.0],
    ]
)
# Wet ground darkens the short-wave infrared, high ground is late, fertile ground is dense and tall.
_SITE_EFFECT = np.array(
    [
        [0.00, 0.01, 0.0, 2.0, 0.00, -0.05, 0.00, 0.0, 0.0],
        [0.00, 0.00, 3.5, -2.5, -0.02, 0.00, 0.00, 0.0, 0.0],
        [0.01, 0.03, 0.0, 1.5, 0.04, -0.01, -0.02, 0.3, 0.0],
    ]
)
_CROWN = np.array([0.022, 0.043, 0.024, 0.072, 0.195, 0.245, 0.265, 0.28, 0.125, 0.058])
_BARE_FLOOR = np.array([0.055, 0.075, 0.09, 0.115, 0.15, 0.165, 0.18, 0.195, 0.25, 0.17])
_GREEN_FLOOR = np.array([0.035, 0.065, 0.045, 0.095, 0.21, 0.25, 0.27, 0.285, 0.19, 0.10])
_BRIGHTENED_BY = np.array([6, 6, 6, 6, 4, 4, 4, 4, 5, 5])  # which trait scales which band's crown
_YEAR_SHIFT_DAYS = {2022: -3.0, 2023: 4.0}


def observation_times(years: tuple[int, ...]) -> np.ndarray:
    """Return every fifth day from the first day of the first year on, 73 a year, datetime64[D]."""
    start = np.datetime64(f"{years[0]}-01-03", "D")
    return start + STEP_DAYS * np.arange(73 * len(years))


def simulate_traits(land: Landscape, seed: np.random.SeedSequence) -> np.ndarray:
    """Traits of the crowns of every cell, shape (9, rows, cols), first axis as TRAIT_NAMES."""
    parcel_rng, cell_rng = (np.random.default_rng(s) for s in seed.spawn(2))
    n_parcels = land.parcel.max() + 1
    traits = np.empty((len(TRAIT_NAMES), *land.parcel.shape), dtype=np.float32)
    for number, trait in enumerate(traits):
        of_species = SPECIES_TRAITS[:, number].astype(np.float32)
        trait[:] = land.main_share * of_species[land.main]
        trait += (1 - land.main_share) * of_species[land.admixed]
        of_parcel = PARCEL_SPREAD[number] * parcel_rng.standard_normal(n_parcels, dtype=np.float32)
        trait += of_parcel[land.parcel]
        trait += PLOT_SPREAD[number] * cell_rng.standard_normal(trait.shape, dtype=np.float32)
        for axis in range(3):
            trait += _REGION_SPREAD[axis, number] * land.region[axis]
            trait += _SITE_EFFECT[axis, number] * land.site[axis]
    np.clip(traits[:2], 0.03, 0.97, out=traits[:2])
    return traits


def simulate_series(
    traits: np.ndarray,
    fertility: np.ndarray,
    places: np.ndarray,
    times: np.ndarray,
    seed: np.random.SeedSequence,
) -> np.ndarray:
    """Simulate surface reflectance of plots with cloud gaps.

    Parameters
    ----------
    traits : ndarray of shape (n, 9)
        From `simulate_traits`.
    fertility : ndarray of shape (n,)
        Standardised; makes the forest floor greener.
    places : ndarray of shape (n, 2)
        Metres east and north, for the clouds.
    times : datetime64[D] ndarray of shape (t,)
        When the satellite passes.
    seed : SeedSequence
        Seeds noise, haze and clouds.

    Returns
    -------
    series : float32 ndarray of shape (n, t, 10)
        Reflectance 0..1; all bands NaN where a cloud hides the plot.
    """
    noise_rng, cloud_rng = (np.random.default_rng(s) for s in seed.spawn(2))
    years = times.astype("datetime64[Y]")
    day = (times - years).astype(float) + 1.0
    late = np.array([_YEAR_SHIFT_DAYS[year] for year in years.astype(int) + 1970])
    leaf = _between(day - late, traits[:, 2, None], traits[:, 3, None], 6.0, 9.0)
    cover = traits[:, 0, None] + (traits[:, 1, None] - traits[:, 0, None]).clip(0.0) * leaf
    floor = _between(day - late, 95.0 - 4.0 * fertility[:, None], 300.0, 12.0, 14.0)
    floor = np.clip(floor * (0.55 + 0.15 * fertility[:, None]), 0.0, 1.0)
    # The low winter sun leaves crowns in each other's shadow.
    light = 0.88 + 0.12 * np.cos(2 * np.pi * (day - 172.0) / 365.25)
    haze = _undetected_haze(noise_rng, cover.shape)
    common = 0.03 * noise_rng.standard_normal(cover.shape)
    series = np.empty((*cover.shape, len(BAND_NAMES)), dtype=np.float32)
    for band in range(len(BAND_NAMES)):
        crown = _CROWN[band] * traits[:, _BRIGHTENED_BY[band], None]
        ground = _BARE_FLOOR[band] + (_GREEN_FLOOR[band] - _BARE_FLOOR[band]) * floor
        clear = (cover * crown + (1 - cover) * ground) * light
        grain = noise_rng.standard_normal(cover.shape, dtype=np.float32)
        whiteness = 0.5 if band >= 8 else 1.0  # thin clouds are darker in short-wave infrared
        series[:, :, band] = clear * (1 + common + 0.045 * grain) + 0.003 + whiteness * haze
    np.clip(series, 0.0001, 1.0, out=series)
    series[_cloudy(cloud_rng, places, day)] = np.nan
    return series


def _between(
    day: np.ndarray,
    rise: np.ndarray | float,
    fall: np.ndarray | float,
    rise_days: float,
    fall_days: float,
) -> np.ndarray:
    """Double logistic curve, 0 in winter and 1 in summer."""
    return 1 / (1 + np.exp((rise - day) / rise_days)) - 1 / (1 + np.exp((fall - day) / fall_days))


def _undetected_haze(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Reflectance added by thin clouds that the mask let through, 4 % of the observations."""
    return (rng.random(shape) < 0.04) * rng.exponential(0.05, shape)


def _cloudy(rng: np.random.Generator, places: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Return which plots are hidden on which day, (n, t): banks some kilometres wide."""
    from scipy.special import ndtri

    # Skies are mostly clear or mostly closed, and closed more often in winter.
    cover = rng.beta(0.45, 0.45, size=day.size)
    cover = np.clip(cover + CLOUD_SHARE - 0.5 + 0.12 * np.cos(2 * np.pi * day / 365.25), 0.01, 0.99)
    waves = rng.standard_normal((24, 2)) / 1500.0
    angle = places[:, :1] * waves[:, 0] + places[:, 1:] * waves[:, 1]
    weights = rng.standard_normal((2, waves.shape[0], day.size)) / np.sqrt(waves.shape[0])
    bank = np.zeros((places.shape[0], day.size))
    for wave in range(waves.shape[0]):
        bank += np.cos(angle[:, wave, None]) * weights[0, wave]
        bank += np.sin(angle[:, wave, None]) * weights[1, wave]
    return bank < ndtri(cover)
