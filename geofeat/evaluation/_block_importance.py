"""block_importance: what each block of a model's features is worth."""

from __future__ import annotations

import sys
from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.metrics import check_scoring
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted


def block_importance(
    model: Any,
    X: Any,
    y: Any,
    *,
    n_repeats: int = 5,
    scoring: Any = None,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Permutation importance of blocks of features: what the score loses without each.

    Features of one embedding or encoding stand in for each other, so that permuting one column
    changes little, whatever the block is worth. Here all columns of a block are permuted together,
    row by row: the block keeps its inner structure and loses its tie to the rows.

    Parameters
    ----------
    model : Pipeline
        A fitted pipeline whose first step is a FeatureUnion or ColumnTransformer; its parts are the
        blocks. They may be pipelines themselves.
    X : array-like, data frame or geometry
        Held-out samples, as the pipeline takes them. They are transformed once.
    y : array-like of shape (n_samples,)
        Their targets.
    n_repeats : int, default=5
        Permutations of each block.
    scoring : str or callable, default=None
        One score, as in scikit-learn's ``cross_val_score``. None: the ``score`` of the model.
    random_state : int, RandomState or None, default=None
        Seed of the permutations. The same ones serve all blocks.

    Returns
    -------
    importance : Bunch
        ``names`` of the blocks in their order, array of str; ``importances``, the score of the
        model less that after a permutation, of shape (n_blocks, n_repeats); ``importances_mean``
        and ``importances_std`` over the repeats.

    Raises
    ------
    TypeError
        For a model of another shape; the message names what came.

    See Also
    --------
    geofeat.plotting.plot_block_importance : The picture.
    sklearn.inspection.permutation_importance : The same of single columns; with blocks of one
        column and the same ``random_state`` the numbers are equal.

    Notes
    -----
    A block that repeats what another holds has little importance, and so has the other: the model
    can lean on either. What a block is worth alone is told by a model without the others.
    Importance is that for this model, on these samples.

    References
    ----------
    .. [1] L. Breiman, "Random forests", Machine Learning 45, 2001, 5-32.
       https://doi.org/10.1023/A:1010933404324
    .. [2] C. Strobl, A.-L. Boulesteix, T. Kneib, T. Augustin, A. Zeileis, "Conditional variable
       importance for random forests", BMC Bioinformatics 9, 2008, 307.
       https://doi.org/10.1186/1471-2105-9-307

    Examples
    --------
    >>> import numpy as np
    >>> from geofeat import CartesianEncoder, SphericalHarmonicsEncoder
    >>> from geofeat.evaluation import block_importance
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline, make_union
    >>> rng = np.random.default_rng(0)
    >>> lonlat = rng.uniform([-180, -60], [180, 60], size=(400, 2))
    >>> y = np.sin(np.radians(3 * lonlat[:, 0]))
    >>> union = make_union(CartesianEncoder(), SphericalHarmonicsEncoder(degree=6))
    >>> model = make_pipeline(union, Ridge(1e-3)).fit(lonlat[:200], y[:200])
    >>> importance = block_importance(model, lonlat[200:], y[200:], random_state=0)
    >>> for name, mean in zip(importance.names, importance.importances_mean):
    ...     print(f"{name:26}{mean:4.1f}")
    cartesianencoder           0.0
    sphericalharmonicsencoder  2.1
    """
    blocks_step, rest = _split(model)
    if not isinstance(n_repeats, Integral) or isinstance(n_repeats, bool) or n_repeats < 1:
        raise ValueError(f"n_repeats must be a whole number above 0, got {n_repeats!r}")
    if isinstance(scoring, list | tuple | set | dict):
        raise TypeError(f"block_importance takes one scoring, got a {type(scoring).__name__}.")
    scorer = check_scoring(rest, scoring=scoring)
    features = blocks_step.transform(X)
    check_consistent_length(features, y)
    blocks = _blocks(blocks_step, X, features)
    full = float(scorer(rest, features, y))
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max + 1)
    importances = np.empty((len(blocks), int(n_repeats)))
    for block, columns in enumerate(blocks.values()):
        generator = np.random.RandomState(seed)
        rows = shuffle = np.arange(features.shape[0])
        for repeat in range(int(n_repeats)):
            shuffle = shuffle.copy()
            generator.shuffle(shuffle)
            rows = rows[shuffle]
            permuted = _permuted(features, columns, rows)
            importances[block, repeat] = full - float(scorer(rest, permuted, y))
    return Bunch(
        names=np.asarray(list(blocks), dtype=str),
        importances=importances,
        importances_mean=importances.mean(axis=1),
        importances_std=importances.std(axis=1),
    )


def _split(model: Any) -> tuple[Any, Pipeline]:
    """Step that makes the blocks, and what comes after it."""
    expected = (
        "block_importance needs a fitted Pipeline whose first step is a FeatureUnion or a "
        "ColumnTransformer, as from make_pipeline(make_union(...), estimator); got "
    )
    if not isinstance(model, Pipeline):
        raise TypeError(f"{expected}a {type(model).__name__}.")
    first = model.steps[0][1]
    if not isinstance(first, FeatureUnion | ColumnTransformer):
        raise TypeError(f"{expected}a Pipeline that begins with a {type(first).__name__}.")
    if len(model.steps) < 2:
        raise TypeError(f"{expected}a Pipeline without an estimator.")
    check_is_fitted(model)
    return first, model[1:]


def _blocks(step: Any, X: Any, features: Any) -> dict[str, slice]:
    """Columns of each block that has any, by name."""
    if isinstance(step, ColumnTransformer):
        blocks = dict(step.output_indices_)
    else:
        blocks, first = {}, 0
        for name, part in step.transformer_list:
            width = _width(part, X)
            blocks[name] = slice(first, first + width)
            first += width
        if first != features.shape[1]:
            raise ValueError(
                f"the parts of the FeatureUnion make {first} columns, together "
                f"{features.shape[1]}: parts must make as many as get_feature_names_out says"
            )
    return {str(name): columns for name, columns in blocks.items() if columns.stop > columns.start}


def _width(part: Any, X: Any) -> int:
    """Return the number of columns that a fitted part of a union makes."""
    if part == "drop":
        return 0
    try:
        return len(part.get_feature_names_out())
    except (AttributeError, ValueError):  # no names: count
        return int(part.transform(X).shape[1])


def _permuted(features: Any, columns: slice, rows: np.ndarray) -> Any:
    """Return a copy in which a block's columns are those of other rows."""
    start, stop = columns.start, columns.stop
    if sparse.issparse(features):
        table = features.tocsr()
        return sparse.hstack([table[:, :start], table[rows, start:stop], table[:, stop:]], "csr")
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(features, pandas.DataFrame):
        block = features.iloc[rows, start:stop].set_axis(features.index)
        return pandas.concat([features.iloc[:, :start], block, features.iloc[:, stop:]], axis=1)
    if hasattr(features, "with_columns"):  # polars
        return features.with_columns(features[:, start:stop][rows])
    permuted = features.copy()
    permuted[:, columns] = features[rows, columns]
    return permuted
