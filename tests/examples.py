"""Ready-made objects of every public transformer, for the tests that run on all of them."""

import numpy as np
import xarray as xr

from geofeat import (
    ArraySource,
    CartesianEncoder,
    DirectEncoder,
    EmbeddingRasterSampler,
    FourierTimeEncoder,
    HarmonicFeatures,
    MultiScaleEncoder,
    RandomFourierFeatures,
    SpaceTimeEncoder,
    SphericalHarmonicsEncoder,
)
from geofeat._base import LocationTransformer
from tests.embedders import networks


def world_raster() -> xr.DataArray:
    """Three smooth bands over the whole world in cells of one degree."""
    lon = np.arange(-179.5, 180)
    lat = np.arange(89.5, -90, -1)
    east, north = np.meshgrid(np.radians(lon), np.radians(lat))
    bands = np.stack([np.sin(east), np.cos(north), np.sin(north) * np.cos(east)])
    return xr.DataArray(
        bands.astype(np.float32),
        coords={"band": ["a", "b", "c"], "y": lat, "x": lon},
        dims=("band", "y", "x"),
        attrs={"crs": "EPSG:4326"},
    )


# Classes that cannot be made without arguments, and further settings worth the whole check suite.
EXAMPLES = networks.EXAMPLES | {
    "CartesianEncoder": [lambda: CartesianEncoder(radius=2.0)],
    "DirectEncoder": [lambda: DirectEncoder(convention="locationencoder")],
    "MultiScaleEncoder": [
        MultiScaleEncoder,
        lambda: MultiScaleEncoder("theory", n_frequencies=3),
        lambda: MultiScaleEncoder("dfs", n_frequencies=2, convention="sphere2vec"),
    ],
    "EmbeddingRasterSampler": [lambda: EmbeddingRasterSampler(ArraySource(world_raster()))],
    "FourierTimeEncoder": [
        FourierTimeEncoder,
        lambda: FourierTimeEncoder(("day", "week", 365.25), n_harmonics=3, include_bias=True),
        lambda: FourierTimeEncoder(("year", "span"), n_harmonics=2, kind="legendre"),
        lambda: FourierTimeEncoder(kind="triangle", unit="seconds"),
    ],
    "HarmonicFeatures": [
        HarmonicFeatures,
        lambda: HarmonicFeatures(order=1, trend=False),
    ],
    "RandomFourierFeatures": [
        lambda: RandomFourierFeatures(10, kernel="matern", random_state=0),
        lambda: RandomFourierFeatures(9, scheme="qmc", random_state=0),
        lambda: RandomFourierFeatures(
            6, space="sphere", length_scale=3000.0, scheme="orthogonal", random_state=0
        ),
        lambda: RandomFourierFeatures(
            7, kernel="sphere-matern", space="sphere", length_scale=2000.0, random_state=0
        ),
    ],
    # The suite feeds two columns at times, so the time has to be one of them.
    "SpaceTimeEncoder": [
        lambda: SpaceTimeEncoder(time_columns=1),
        lambda: SpaceTimeEncoder(CartesianEncoder(), combine="product", time_columns=1),
    ],
    "SphericalHarmonicsEncoder": [
        SphericalHarmonicsEncoder,
        lambda: SphericalHarmonicsEncoder(degree=3, convention="satclip", degree_decay=1.5),
        lambda: SphericalHarmonicsEncoder(degree=4, spectrum="matern", length_scale=9000.0),
    ],
}


def examples_of(name: str, kind: type) -> list:
    """Instances of one public transformer: those listed above, else the default one."""
    return [make() for make in EXAMPLES.get(name, [kind])]


def is_location_transformer(estimator: object) -> bool:
    """Whether it reads longitude and latitude, in all of its settings or in this one."""
    return isinstance(estimator, LocationTransformer) and (
        getattr(estimator, "space", "sphere") == "sphere"
    )
