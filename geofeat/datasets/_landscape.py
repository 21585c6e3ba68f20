"""A simulated forest landscape: parcels, species and sites on a 10 m lattice.

Nothing here is measured. The lattice lies across the meridian of 6 degrees east, the border of
UTM zones 31 and 32, only so that two zones occur.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SEAM_LON = 6.0
CENTRE_LAT = 52.05
CELL_METRES = 10.0
HALF_WIDTH_METRES = 4800.0
HALF_HEIGHT_METRES = 2400.0
N_ROWS = int(2 * HALF_HEIGHT_METRES / CELL_METRES)
N_COLS = int(2 * HALF_WIDTH_METRES / CELL_METRES)

# A local plane is enough for a lattice 10 km wide: metres per degree at its centre.
METRES_PER_DEGREE_LAT = 111_250.0
METRES_PER_DEGREE_LON = 111_412.84 * np.cos(np.radians(CENTRE_LAT))

SPECIES = (
    "Scots pine",
    "pedunculate oak",
    "Douglas fir",
    "beech",
    "silver birch",
    "Japanese larch",
    "Norway spruce",
)
# Share of the forest parcels, most common first.
PREVALENCE = np.array([0.36, 0.20, 0.13, 0.11, 0.09, 0.06, 0.05])
# Liking of each species for wet ground, high ground and fertile ground.
_NICHE = np.array(
    [
        [-0.9, 0.3, -0.9],
        [0.5, -0.5, 0.5],
        [-0.1, 0.5, 0.4],
        [-0.3, 0.4, 0.9],
        [0.9, -0.2, -0.7],
        [0.1, 0.4, 0.0],
        [0.7, 0.6, 0.0],
    ]
)
FOREST, GRASSLAND, HEATH, WATER = range(4)
_PARCEL_METRES = 230.0
_OPEN_SHARE = 0.27


class Landscape(NamedTuple):
    """The simulated land surface; arrays have one row of cells a northing, the southern first."""

    parcel: np.ndarray  # (rows, cols) int64, number of the parcel
    cover: np.ndarray  # (rows, cols) int64, FOREST, GRASSLAND, HEATH or WATER
    main: np.ndarray  # (rows, cols) int64, the parcel's main species
    admixed: np.ndarray  # (rows, cols) int64, the species that grows between
    main_share: np.ndarray  # (rows, cols) float32, share of the crowns that is the main species
    site: np.ndarray  # (3, rows, cols) float32: moisture, elevation, fertility, all standardised
    region: np.ndarray  # (3, rows, cols) float32: slow drifts of provenance, standardised

    @property
    def dominant(self) -> np.ndarray:
        """Species with the larger share of the crowns, (rows, cols) int64."""
        return np.where(self.main_share >= 0.5, self.main, self.admixed)


def lattice_cells(lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row and column of the cell that holds each point, and which points lie on the lattice.

    Points outside get the nearest border cell.
    """
    col = np.floor(((lon - SEAM_LON) * METRES_PER_DEGREE_LON + HALF_WIDTH_METRES) / CELL_METRES)
    row = np.floor(((lat - CENTRE_LAT) * METRES_PER_DEGREE_LAT + HALF_HEIGHT_METRES) / CELL_METRES)
    inside = (row >= 0) & (row < N_ROWS) & (col >= 0) & (col < N_COLS)
    row = np.clip(row, 0, N_ROWS - 1).astype(np.int64)
    col = np.clip(col, 0, N_COLS - 1).astype(np.int64)
    return row, col, inside


def lattice_lonlat(row: np.ndarray, col: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude in degrees of fractional cell positions; a cell's corner is whole."""
    lon = SEAM_LON + (col * CELL_METRES - HALF_WIDTH_METRES) / METRES_PER_DEGREE_LON
    lat = CENTRE_LAT + (row * CELL_METRES - HALF_HEIGHT_METRES) / METRES_PER_DEGREE_LAT
    return lon, lat


def simulate_landscape(seed: np.random.SeedSequence) -> Landscape:
    """Simulate the land surface; equal seeds give equal landscapes."""
    shape_rng, species_rng, mixture_rng = (np.random.default_rng(s) for s in seed.spawn(3))
    site = np.stack([smooth_field(shape_rng, metres) for metres in (700.0, 1800.0, 900.0)])
    # Elevation rises to the east beside its hills: the gradient that species follow.
    site[1] = 0.6 * site[1] + 0.8 * np.linspace(-1.6, 1.6, N_COLS)
    region = np.stack([smooth_field(shape_rng, 1500.0) for _ in range(3)])
    parcel, anchors = _parcels(shape_rng)
    at_anchor = tuple(anchors)
    cover = _parcel_cover(smooth_field(shape_rng, 420.0)[at_anchor], site[0][at_anchor])
    main, admixed = _parcel_species(species_rng, site[:, *at_anchor], at_anchor)
    # Some parcels are nearly pure, some are half and half, in groups of a few crowns.
    purity = 1.0 - 0.6 * mixture_rng.beta(1.1, 1.5, size=main.size)
    main_share = purity[parcel] + 0.30 * smooth_field(mixture_rng, 25.0)
    return Landscape(
        parcel=parcel,
        cover=cover[parcel],
        main=main[parcel],
        admixed=admixed[parcel],
        main_share=np.clip(main_share, 0.0, 1.0).astype(np.float32),
        site=site.astype(np.float32),
        region=region.astype(np.float32),
    )


def smooth_field(rng: np.random.Generator, length_metres: float) -> np.ndarray:
    """Gaussian random field on the lattice with a Gaussian covariance, mean 0, variance 1.

    The covariance falls to exp(-1) at ``length_metres``.
    """
    # A coarse grid says all there is about a smooth field; it is twice the size of the lattice,
    # so that the period of the transform does not tie opposite borders together.
    step = max(1, int(length_metres / (8 * CELL_METRES)))
    rows, cols = 2 * (N_ROWS // step + 2), 2 * (N_COLS // step + 2)
    spectrum = np.fft.rfft2(rng.standard_normal((rows, cols)))
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(cols)[None, :])
    length = length_metres / (step * CELL_METRES)
    spectrum *= np.exp(-((np.pi * frequency * length) ** 2) / 2)
    field = np.fft.irfft2(spectrum, s=(rows, cols))
    field = _refined(_refined(field, step, N_ROWS).T, step, N_COLS).T
    return (field - field.mean()) / field.std()


def _refined(field: np.ndarray, step: int, size: int) -> np.ndarray:
    """Linear interpolation of the first axis, ``step`` times finer, cut to ``size``."""
    position = np.arange(size) / step
    lower = position.astype(np.int64)
    weight = (position - lower)[:, None]
    return field[lower] * (1 - weight) + field[lower + 1] * weight


def _parcels(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return each cell's parcel, and row and column of each parcel's anchor, shape (2, n)."""
    from scipy.spatial import cKDTree

    step = _PARCEL_METRES / CELL_METRES
    grid = np.mgrid[step / 2 : N_ROWS : step, step / 2 : N_COLS : step].reshape(2, -1)
    anchors = grid + rng.uniform(-0.55, 0.55, grid.shape) * step
    rows, cols = np.mgrid[0:N_ROWS, 0:N_COLS].astype(float)
    # Bent coordinates make bent borders.
    rows += 4.0 * smooth_field(rng, 120.0)
    cols += 4.0 * smooth_field(rng, 120.0)
    _, parcel = cKDTree(anchors.T).query(np.column_stack([rows.ravel(), cols.ravel()]))
    limits = np.array([[N_ROWS - 1], [N_COLS - 1]])
    cells = np.clip(np.floor(anchors), 0, limits).astype(np.int64)
    return parcel.reshape(N_ROWS, N_COLS).astype(np.int64), cells


def _parcel_cover(openness: np.ndarray, moisture: np.ndarray) -> np.ndarray:
    """Forest, or open land: water and grassland where it is wet, heath where it is dry."""
    is_open = openness > np.quantile(openness, 1 - _OPEN_SHARE)
    kind = np.where(moisture > -0.1, GRASSLAND, HEATH)
    kind = np.where(moisture > np.quantile(moisture[is_open], 0.85), WATER, kind)
    return np.where(is_open, kind, FOREST)


def _parcel_species(
    rng: np.random.Generator, site: np.ndarray, at_anchor: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Choose main and admixed species of each parcel: its site, its neighbourhood and chance."""
    estates = np.stack([smooth_field(rng, 650.0)[at_anchor] for _ in SPECIES], axis=1)
    liking = 1.1 * (site.T[:, None, :] * _NICHE).sum(axis=2) + 1.2 * estates
    liking += 0.55 * rng.gumbel(size=liking.shape)
    offset = np.log(PREVALENCE)
    for _ in range(60):  # until the shares of the species are the wanted ones
        main = np.argmax(liking + offset, axis=1)
        share = np.bincount(main, minlength=len(SPECIES)) / main.size
        offset += 0.5 * (np.log(PREVALENCE) - np.log(np.maximum(share, 1e-3)))
    second = liking + offset + 0.8 * rng.gumbel(size=liking.shape)
    second[np.arange(main.size), main] = -np.inf
    return main, np.argmax(second, axis=1)
