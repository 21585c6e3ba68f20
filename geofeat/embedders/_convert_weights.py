"""convert_weights: any checkpoint that can be read, written anew as safetensors."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from geofeat._whole_file import refuse_existing, write_whole
from geofeat.embedders._checkpoint import read_checkpoint


def convert_weights(
    src: str | os.PathLike[str], dst: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write the arrays of a checkpoint as a safetensors file, which holds nothing but arrays.

    Neither torch nor pickle is used, so that files of unknown origin can be converted: one that
    asks for more than arrays is refused.

    Parameters
    ----------
    src : path-like
        Checkpoint of torch (.ckpt, .pth, .pt, .bin) or safetensors file. Of a dictionary with
        "state_dict", "model_state_dict" or "model" only what lies there is kept.
    dst : path-like
        File to write; its name ends in ".safetensors". It appears whole or not at all.
    overwrite : bool, default=False
        Whether a file of that name may be replaced.

    Returns
    -------
    path : Path
        The file written.

    Raises
    ------
    CorruptFileError
        The source is damaged or no checkpoint.
    UnsafeFileError
        The source holds objects whose reading could run code.
    LimitError
        The source passes a size bound.
    FileExistsError
        There is a file of that name, and ``overwrite`` is False.

    Examples
    --------
    >>> import numpy as np
    >>> import tempfile
    >>> from safetensors.numpy import save_file
    >>> from geofeat import convert_weights
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = save_file({"layer.weight": np.eye(2)}, f"{folder.name}/model.safetensors")
    >>> convert_weights(f"{folder.name}/model.safetensors", f"{folder.name}/copy.safetensors").name
    'copy.safetensors'
    >>> folder.cleanup()
    """
    from safetensors.numpy import save

    path = Path(dst)
    if path.suffix != ".safetensors":
        raise ValueError(f"dst is {str(path)!r}, expected a name that ends in '.safetensors'.")
    if not overwrite:
        refuse_existing(path)
    tensors = read_checkpoint(Path(src)).tensors
    content = save({name: np.asarray(values, order="C") for name, values in tensors.items()})
    write_whole(path, content, overwrite=overwrite)
    return path
