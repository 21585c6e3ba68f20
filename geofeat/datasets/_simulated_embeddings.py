"""Simulated embeddings: the landscape's traits, mixed at random into many noisy dimensions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from geofeat.datasets._landscape import FOREST, N_COLS, Landscape
from geofeat.datasets._phenology import SPECIES_TRAITS, TRAIT_NAMES

# What an embedding can tell: the traits, the site (moisture, elevation, fertility), the open land.
N_LATENTS = len(TRAIT_NAMES) + 3 + 3
_N_HIDDEN = 24
_SITE_WEIGHT = 0.35
# What a chunk needs stays in a core's cache.
_CHUNK_PIXELS = 8192


class LatentSurface(NamedTuple):
    """What there is to be seen of every cell of the lattice."""

    latents: np.ndarray  # (latents, cells) float32
    parcel: np.ndarray  # (cells,) int64

    def at(self, row: np.ndarray, col: np.ndarray) -> LatentSurface:
        """Return the cells asked for, in their order."""
        cell = row * N_COLS + col
        return LatentSurface(np.take(self.latents, cell, axis=1), self.parcel[cell])


class EmbeddingModel(NamedTuple):
    """A fixed random network from latents to one product's dimensions, and the product's noise."""

    first: np.ndarray  # (hidden, latents) float32
    bias: np.ndarray  # (hidden,) float32
    second: np.ndarray  # (dimensions, hidden) float32
    offset: np.ndarray  # (dimensions,) float32
    year_shift: np.ndarray  # (years, latents) float32
    parcel_noise: np.ndarray  # (years, latents, parcels) float32
    pixel_spread: float  # of the latents, per pixel
    grain: float  # of the output, per pixel and dimension


def random_model(
    seed: np.random.SeedSequence,
    *,
    n_dimensions: int,
    latent_weights: np.ndarray,
    n_years: int,
    n_parcels: int,
    parcel_spread: float,
    pixel_spread: float,
    grain: float,
) -> EmbeddingModel:
    """Draw the network of one product and its error of each parcel and year.

    ``latent_weights`` (latents,) says how well the product sees each trait, the site and the cover.
    """
    rng = np.random.default_rng(seed)
    first = rng.standard_normal((_N_HIDDEN, N_LATENTS)) / np.sqrt(N_LATENTS) * latent_weights
    return EmbeddingModel(
        first=(0.8 * first).astype(np.float32),
        bias=(0.4 * rng.standard_normal(_N_HIDDEN)).astype(np.float32),
        second=rng.standard_normal((n_dimensions, _N_HIDDEN)).astype(np.float32),
        offset=(1.5 * rng.standard_normal(n_dimensions)).astype(np.float32),
        year_shift=0.25 * rng.standard_normal((n_years, N_LATENTS), dtype=np.float32),
        parcel_noise=parcel_spread
        * rng.standard_normal((n_years, N_LATENTS, n_parcels), dtype=np.float32),
        pixel_spread=pixel_spread,
        grain=grain,
    )


def latent_surface(land: Landscape, traits: np.ndarray) -> LatentSurface:
    """Latents of every cell: traits standardised over the species, site, open land."""
    latents = np.zeros((N_LATENTS, *land.parcel.shape), dtype=np.float32)
    n_traits = len(TRAIT_NAMES)
    mean, spread = SPECIES_TRAITS.mean(axis=0), SPECIES_TRAITS.std(axis=0)
    forest = land.cover == FOREST
    for number in range(n_traits):
        standard = (traits[number] - np.float32(mean[number])) / np.float32(spread[number])
        latents[number] = np.where(forest, standard, 0.3 * land.region[number % 3])
    latents[n_traits : n_traits + 3] = _SITE_WEIGHT * land.site
    for kind in (1, 2, 3):
        latents[n_traits + 2 + kind] = 4.0 * (land.cover == kind)
    return LatentSurface(latents.reshape(N_LATENTS, -1), land.parcel.ravel())


def embed(
    model: EmbeddingModel, surface: LatentSurface, year_number: int, seed: np.random.SeedSequence
) -> np.ndarray:
    """Embedding of the n cells of a surface in one year, shape (dimensions, n) float32.

    Sums run in a fixed order, so the result does not depend on a matrix library or its threads.
    """
    rng = np.random.default_rng(seed)
    noise = model.parcel_noise[year_number]
    vectors = np.empty((model.second.shape[0], surface.parcel.size), dtype=np.float32)
    for first in range(0, surface.parcel.size, _CHUNK_PIXELS):
        chunk = slice(first, first + _CHUNK_PIXELS)
        parcel = surface.parcel[chunk]
        noisy = rng.standard_normal((N_LATENTS, parcel.size), dtype=np.float32)
        noisy *= model.pixel_spread
        noisy += surface.latents[:, chunk]
        noisy += np.take(noise, parcel, axis=1)
        noisy += model.year_shift[year_number][:, None]
        hidden = np.tanh(_mixed(model.first, noisy, model.bias))
        mixed = _mixed(model.second, hidden, model.offset)
        grain = rng.standard_normal(mixed.shape, dtype=np.float32)
        grain *= model.grain
        np.add(mixed, grain, out=vectors[:, chunk])
    return vectors


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Divide each column by its norm."""
    square = np.zeros(vectors.shape[1], dtype=np.float32)
    for component in vectors:
        square += component * component
    return vectors / np.sqrt(square)


def _mixed(weights: np.ndarray, inputs: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return weights @ inputs + bias, row by row."""
    out = np.empty((weights.shape[0], inputs.shape[1]), dtype=np.float32)
    product = np.empty(inputs.shape[1], dtype=np.float32)
    for row, row_weights, start in zip(out, weights, bias, strict=True):
        row[:] = start
        for weight, values in zip(row_weights, inputs, strict=True):
            np.multiply(values, weight, out=product)
            row += product
    return out
