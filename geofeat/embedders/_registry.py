"""The table of published models: where each lies, what it takes, what it gives, who made it."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from geofeat.exceptions import UnsafeFileError

if TYPE_CHECKING:
    import pandas as pd

_NAME_PART = re.compile(r"[A-Za-z0-9._+=-]{1,255}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
LON_LAT, LAT_LON = "lon, lat", "lat, lon"


@dataclass(frozen=True, kw_only=True)
class PretrainedModel:
    """One published model. None stands for what its publisher does not tell.

    Parameters
    ----------
    name : str
        The name users write.
    embedder : str
        Name of the class that loads it.
    keys : str
        Pattern of the array names that belong to the location network; its group is the name
        that the class knows the array by. All other arrays of the file are left out.
    repo, repo_type, file : str or None
        Repository on the Hugging Face hub, "model" or "dataset", and the file in it.
    revision : str or None
        Commit of the repository. None follows "main" until the first download, then stays with
        the commit of that day.
    n_bytes : int or None
        Exact size of the file.
    megabytes : float or None
        Its rounded size, where the exact one is unknown.
    sha256 : str or None
        Hash of the file. None trusts the first download and holds later ones to it.
    column_order : str
        Order of the original's input; geofeat takes (lon, lat) for every model.
    n_features : int
        Number of output columns.
    dtype : str or None
        Type of the published numbers.
    licence, reference, note : str or None
        Licence of the weights, paper, and what else to know.
    """

    name: str
    embedder: str
    keys: str
    column_order: str
    n_features: int
    repo: str | None = None
    repo_type: str = "model"
    revision: str | None = None
    file: str | None = None
    n_bytes: int | None = None
    megabytes: float | None = None
    sha256: str | None = None
    dtype: str | None = None
    licence: str | None = None
    reference: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        self._check(self.name, self.name.count("/") == 0 and _is_path(self.name))
        self._check(self.repo, self.repo is None or (_is_path(self.repo, 2)))
        self._check(self.file, self.file is None or _is_path(self.file))
        self._check(self.repo_type, self.repo_type in {"model", "dataset"})
        self._check(self.revision, self.revision is None or _COMMIT.fullmatch(self.revision))
        self._check(self.sha256, self.sha256 is None or _SHA256.fullmatch(self.sha256))
        self._check(self.n_bytes, self.n_bytes is None or self.n_bytes > 0)
        self._check(self.column_order, self.column_order in {LON_LAT, LAT_LON})

    def _check(self, value: object, is_good: object) -> None:
        if not is_good:
            raise UnsafeFileError(f"model {self.name!r}", f"has the impossible entry {value!r}")


def _is_path(name: str, n_parts: int | None = None) -> bool:
    """Whether a name can only lie below the folder or address it is joined to."""
    parts = name.split("/")
    return (
        len(name) <= 1024
        and n_parts in {None, len(parts)}
        and all(_NAME_PART.fullmatch(part) and part not in {".", ".."} for part in parts)
    )


_SATCLIP_KEYS = r"(?:.*\.)?(nnet\..+)"
_SATCLIP_PAPER = "Klemmer et al., SatCLIP, arXiv:2311.17179"
_GEOCLIP_KEYS = r"(?:.*\.)?(LocEnc\d+\.(?:capsule|head)\..+)"
_GEOCLIP_PAPER = "Vivanco Cepeda et al., GeoCLIP, NeurIPS 2023, arXiv:2309.16020"
_SLED_PAPER = "SLED, arXiv:2608.06612"
_SLED_NOTE = (
    "its network is GeoCLIP's, which reads (lat, lon), while the readme of its package writes "
    "(lon, lat): compare a few places before you rely on it"
)
_MIND_KEYS = r"((?:(?:first|blocks\.\d+)\.linear|head)\.(?:weight|bias)|year_freqs)"
_MIND_PAPER = "MIND, arXiv:2609.25454"
_CLIMPLICIT_KEYS = r"(?:location_encoder\.)?((?:layers\.\d+|last_layer)\.(?:weight|bias))"
_TTE_KEYS = (
    r"(location\.(?:_directions|_log_tau|_embeddings|mlp\..+|semantic_registers\."
    r"(?:registers|log_temperature|(?:loc_to_logits|site_to_out|norm)\.(?:weight|bias))))"
)
_CSP_KEYS = r"(?:(?:loc_enc\.)?spa_enc\.)?(ffn\.layers\.\d+\.(?:linear|layernorm)\.(?:weight|bias))"
_CSP_PAPER = "Mai et al., CSP, ICML 2023, arXiv:2305.01118"
_CSP_NOTE = (
    "published as a zip archive on Dropbox (linked by github.com/gengchenmai/csp), which geofeat "
    "does not fetch; unpack it and pass weights= the .pth.tar file with UNSUPER in its name"
)
_RANGE_KEYS = r"(locs|satclip_embeddings|image_embeddings)"
_RANGE_PAPER = "RANGE, CVPR 2025, arXiv:2502.19781"
_RANGE_NOTE = "the database of RANGE and RANGE+; places are looked up through satclip-vit16-l40"


def _satclip(
    vision: str, legendre_polys: int, n_bytes: int | None, megabytes: float | None
) -> PretrainedModel:
    name = f"satclip-{vision.lower()}-l{legendre_polys}"
    return PretrainedModel(
        name=name,
        embedder="SatCLIPEmbedder",
        keys=_SATCLIP_KEYS,
        repo=f"microsoft/SatCLIP-{vision}-L{legendre_polys}",
        file=f"{name}.ckpt",
        n_bytes=n_bytes,
        megabytes=megabytes,
        column_order=LON_LAT,
        n_features=256,
        dtype="float64",
        licence="MIT",
        reference=_SATCLIP_PAPER,
    )


MODELS = (
    _satclip("ResNet18", 10, 57_201_927, None),
    _satclip("ResNet18", 40, None, 75.6),
    _satclip("ResNet50", 10, None, 111),
    _satclip("ResNet50", 40, None, None),
    _satclip("ViT16", 10, None, None),
    _satclip("ViT16", 40, None, None),
    PretrainedModel(
        name="satclip-vit16-l40-mvrl",
        embedder="SatCLIPEmbedder",
        keys=_SATCLIP_KEYS,
        repo="MVRL/satclip-loc-enc-vit16-l40",
        file="model.safetensors",
        megabytes=4.86,
        column_order=LON_LAT,
        n_features=256,
        dtype="float32",
        licence="none stated",
        reference=_SATCLIP_PAPER,
        note="satclip-vit16-l40 rounded to float32: a small download",
    ),
    PretrainedModel(
        name="geoclip",
        embedder="GeoCLIPEmbedder",
        keys=_GEOCLIP_KEYS,
        repo="VicenteVivanco/geoclip-location-encoder",
        file="model.safetensors",
        column_order=LAT_LON,
        n_features=512,
        dtype="float32",
        licence="MIT",
        reference=_GEOCLIP_PAPER,
    ),
    PretrainedModel(
        name="geoclip-mvrl",
        embedder="GeoCLIPEmbedder",
        keys=_GEOCLIP_KEYS,
        repo="MVRL/geoclip-location-encoder",
        file="model.safetensors",
        column_order=LAT_LON,
        n_features=512,
        licence="Apache-2.0",
        reference=_GEOCLIP_PAPER,
    ),
    PretrainedModel(
        name="taxabind",
        embedder="GeoCLIPEmbedder",
        keys=_GEOCLIP_KEYS,
        repo="MVRL/ecogeo",
        file="model.safetensors",
        column_order=LAT_LON,
        n_features=512,
        licence="Apache-2.0 (code)",
        reference="Sastry et al., TaxaBind, WACV 2025, arXiv:2411.00683",
    ),
    PretrainedModel(
        name="sled-s2-ls",
        embedder="GeoCLIPEmbedder",
        keys=_GEOCLIP_KEYS,
        repo="geohai/sled-s2-ls",
        file="model.safetensors",
        column_order=LAT_LON,
        n_features=768,
        reference=_SLED_PAPER,
        note=_SLED_NOTE,
    ),
    PretrainedModel(
        name="sled-s1-s2-ls",
        embedder="GeoCLIPEmbedder",
        keys=_GEOCLIP_KEYS,
        repo="geohai/sled-s1-s2-ls",
        file="model.safetensors",
        column_order=LAT_LON,
        n_features=768,
        reference=_SLED_PAPER,
        note=_SLED_NOTE,
    ),
    PretrainedModel(
        name="gair",
        embedder="GeoCLIPEmbedder",
        keys=_GEOCLIP_KEYS,
        repo="PingL/GAIR",
        file="checkpoint.pth",
        column_order=LON_LAT,
        n_features=768,
        reference="GAIR, arXiv:2503.16683",
    ),
    PretrainedModel(
        name="mind",
        embedder="MINDEmbedder",
        keys=_MIND_KEYS,
        repo="taylor-geospatial/MIND",
        file="mind.safetensors",
        n_bytes=226_980_656,
        column_order=LAT_LON,
        n_features=3072,
        dtype="float16",
        licence="MIT",
        reference=_MIND_PAPER,
        note="the first 64, 128, 256, 512, 1024 or 2048 columns are embeddings of their own",
    ),
    PretrainedModel(
        name="mind-small",
        embedder="MINDEmbedder",
        keys=_MIND_KEYS,
        repo="isaaccorley/MIND",
        file="mind_small.safetensors",
        column_order=LAT_LON,
        n_features=128,
        reference=_MIND_PAPER,
    ),
    PretrainedModel(
        name="tte",
        embedder="TTEEmbedder",
        keys=_TTE_KEYS,
        repo="MVRL/TTE",
        file="model.safetensors",
        megabytes=13.8,
        column_order=LAT_LON,
        n_features=512,
        licence="MIT",
        reference="Cher et al., Tessellating the Earth, ECCV 2026, arXiv:2606.27514",
    ),
    PretrainedModel(
        name="climplicit",
        embedder="ClimplicitEmbedder",
        keys=_CLIMPLICIT_KEYS,
        repo="Jobedo/climplicit",
        file="model.safetensors",
        megabytes=16.3,
        column_order=LON_LAT,
        n_features=256,
        licence="none stated",
        reference="Climplicit, arXiv:2504.05089",
        note="1024 columns without a month: those of March, June, September and December",
    ),
    PretrainedModel(
        name="sinr",
        embedder="SINREmbedder",
        keys=r"(?:.*\.)?(feats\..+)",
        repo="MVRL/sinr-location-encoder-1000-cls",
        megabytes=50.6,
        column_order=LON_LAT,
        n_features=256,
        licence="MIT (code)",
        reference="Cole et al., SINR, ICML 2023, arXiv:2306.02564",
        note="the name of the file in the repository is not known; download it and pass weights=",
    ),
    PretrainedModel(
        name="csp-fmow",
        embedder="CSPEmbedder",
        keys=_CSP_KEYS,
        column_order=LON_LAT,
        n_features=256,
        licence="none stated",
        reference=_CSP_PAPER,
        note=_CSP_NOTE,
    ),
    PretrainedModel(
        name="csp-inat",
        embedder="CSPEmbedder",
        keys=_CSP_KEYS,
        column_order=LON_LAT,
        n_features=256,
        licence="none stated",
        reference=_CSP_PAPER,
        note=_CSP_NOTE,
    ),
    PretrainedModel(
        name="range-large",
        embedder="RANGEEmbedder",
        keys=_RANGE_KEYS,
        repo="MVRL/RANGE-database",
        repo_type="dataset",
        file="range_db_large.npz",
        column_order=LON_LAT,
        n_features=1280,
        licence="none stated",
        reference=_RANGE_PAPER,
        note=_RANGE_NOTE,
    ),
    PretrainedModel(
        name="range-med",
        embedder="RANGEEmbedder",
        keys=_RANGE_KEYS,
        repo="MVRL/RANGE-database",
        repo_type="dataset",
        file="range_db_med.npz",
        column_order=LON_LAT,
        n_features=1280,
        licence="none stated",
        reference=_RANGE_PAPER,
        note=_RANGE_NOTE,
    ),
)
_BY_NAME = {model.name: model for model in MODELS}


def find_model(name: str) -> PretrainedModel:
    """Entry of a model; ValueError names those that are spelt alike."""
    try:
        return _BY_NAME[name]
    except KeyError:
        alike = difflib.get_close_matches(name, _BY_NAME, n=3, cutoff=0.4) or sorted(_BY_NAME)
        raise ValueError(
            f"There is no model {name!r}. Did you mean {', '.join(alike)}? "
            "geofeat.list_models() shows all."
        ) from None


def list_models() -> pd.DataFrame:
    """List the pretrained location encoders that geofeat can load.

    Returns
    -------
    models : DataFrame
        One row a model, indexed by the name to write. ``embedder`` is the class that loads it,
        ``n_features`` the number of its columns, ``column_order`` the order its authors feed (in
        geofeat it is always longitude, latitude), ``repo``, ``file`` and ``revision`` its place on
        the Hugging Face hub, ``n_bytes`` the exact and ``megabytes`` the rounded size of that
        file, ``sha256`` its hash, ``dtype`` the type of its numbers, then ``licence``,
        ``reference`` and ``note``. Missing is what the publishers do not tell: where no licence
        stands, look at the model's page before you use it; where no revision and hash stand, the
        first download decides which file later ones are held to.

    Examples
    --------
    >>> import geofeat
    >>> geofeat.list_models().loc["geoclip", ["embedder", "column_order", "licence"]].tolist()
    ['GeoCLIPEmbedder', 'lat, lon', 'MIT']
    """
    import pandas as pd

    shown = [field.name for field in fields(PretrainedModel) if field.name not in {"name", "keys"}]
    rows = [[getattr(model, name) for name in shown] for model in MODELS]
    index = pd.Index([model.name for model in MODELS], name="model")
    return pd.DataFrame(rows, index=index, columns=shown).convert_dtypes()
