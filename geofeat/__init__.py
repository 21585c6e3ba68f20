"""Earth embeddings and coordinate encodings as scikit-learn transformers.

Names are loaded when first used, so ``import geofeat`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geofeat import datasets, evaluation, exceptions, plotting
    from geofeat._discovery import all_transformers
    from geofeat._versions import show_versions
    from geofeat.embedders._climplicit import ClimplicitEmbedder
    from geofeat.embedders._convert_weights import convert_weights
    from geofeat.embedders._csp import CSPEmbedder
    from geofeat.embedders._embed_grid import embed_grid
    from geofeat.embedders._geoclip import GeoCLIPEmbedder
    from geofeat.embedders._mind import MINDEmbedder
    from geofeat.embedders._range import RANGEEmbedder
    from geofeat.embedders._registry import list_models
    from geofeat.embedders._satclip import SatCLIPEmbedder
    from geofeat.embedders._sinr import SINREmbedder
    from geofeat.embedders._tte import TTEEmbedder
    from geofeat.encoders._cartesian import CartesianEncoder
    from geofeat.encoders._direct import DirectEncoder
    from geofeat.encoders._fourier_time import FourierTimeEncoder
    from geofeat.encoders._harmonic_regression import HarmonicFeatures
    from geofeat.encoders._multiscale import MultiScaleEncoder
    from geofeat.encoders._random_fourier import RandomFourierFeatures
    from geofeat.encoders._space_time import SpaceTimeEncoder
    from geofeat.encoders._spherical_harmonics import SphericalHarmonicsEncoder
    from geofeat.encoders._wrap import WrapEncoder
    from geofeat.rasters._alphaearth import AlphaEarthSource
    from geofeat.rasters._array_source import ArraySource
    from geofeat.rasters._extract import extract
    from geofeat.rasters._predict_raster import predict_raster
    from geofeat.rasters._quantization import dequantize, quantize
    from geofeat.rasters._raster_source import RasterSource
    from geofeat.rasters._sampler import EmbeddingRasterSampler
    from geofeat.rasters._table_source import EmbeddingTableSource
    from geofeat.rasters._tessera import TesseraSource
    from geofeat.rasters._zarr_source import ZarrSource

__version__ = "0.1.0.dev0"

_HOME = {
    "AlphaEarthSource": "geofeat.rasters._alphaearth",
    "ArraySource": "geofeat.rasters._array_source",
    "CSPEmbedder": "geofeat.embedders._csp",
    "CartesianEncoder": "geofeat.encoders._cartesian",
    "ClimplicitEmbedder": "geofeat.embedders._climplicit",
    "DirectEncoder": "geofeat.encoders._direct",
    "EmbeddingRasterSampler": "geofeat.rasters._sampler",
    "EmbeddingTableSource": "geofeat.rasters._table_source",
    "FourierTimeEncoder": "geofeat.encoders._fourier_time",
    "GeoCLIPEmbedder": "geofeat.embedders._geoclip",
    "HarmonicFeatures": "geofeat.encoders._harmonic_regression",
    "MINDEmbedder": "geofeat.embedders._mind",
    "MultiScaleEncoder": "geofeat.encoders._multiscale",
    "RANGEEmbedder": "geofeat.embedders._range",
    "RandomFourierFeatures": "geofeat.encoders._random_fourier",
    "RasterSource": "geofeat.rasters._raster_source",
    "SINREmbedder": "geofeat.embedders._sinr",
    "SatCLIPEmbedder": "geofeat.embedders._satclip",
    "SpaceTimeEncoder": "geofeat.encoders._space_time",
    "SphericalHarmonicsEncoder": "geofeat.encoders._spherical_harmonics",
    "TTEEmbedder": "geofeat.embedders._tte",
    "TesseraSource": "geofeat.rasters._tessera",
    "WrapEncoder": "geofeat.encoders._wrap",
    "ZarrSource": "geofeat.rasters._zarr_source",
    "all_transformers": "geofeat._discovery",
    "convert_weights": "geofeat.embedders._convert_weights",
    "dequantize": "geofeat.rasters._quantization",
    "embed_grid": "geofeat.embedders._embed_grid",
    "extract": "geofeat.rasters._extract",
    "list_models": "geofeat.embedders._registry",
    "predict_raster": "geofeat.rasters._predict_raster",
    "quantize": "geofeat.rasters._quantization",
    "show_versions": "geofeat._versions",
}
_SUBPACKAGES = ("datasets", "evaluation", "exceptions", "plotting")

__all__ = [
    "AlphaEarthSource",
    "ArraySource",
    "CSPEmbedder",
    "CartesianEncoder",
    "ClimplicitEmbedder",
    "DirectEncoder",
    "EmbeddingRasterSampler",
    "EmbeddingTableSource",
    "FourierTimeEncoder",
    "GeoCLIPEmbedder",
    "HarmonicFeatures",
    "MINDEmbedder",
    "MultiScaleEncoder",
    "RANGEEmbedder",
    "RandomFourierFeatures",
    "RasterSource",
    "SINREmbedder",
    "SatCLIPEmbedder",
    "SpaceTimeEncoder",
    "SphericalHarmonicsEncoder",
    "TTEEmbedder",
    "TesseraSource",
    "WrapEncoder",
    "ZarrSource",
    "all_transformers",
    "convert_weights",
    "datasets",
    "dequantize",
    "embed_grid",
    "evaluation",
    "exceptions",
    "extract",
    "list_models",
    "plotting",
    "predict_raster",
    "quantize",
    "show_versions",
]


def __getattr__(name: str) -> object:
    if name in _SUBPACKAGES:
        return import_module(f"geofeat.{name}")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'geofeat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
