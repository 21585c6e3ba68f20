"""What a fitted estimator makes of the pixels of a map: codes of classes, probabilities, values."""

from __future__ import annotations

from typing import Any

import joblib
import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from geofeat._threads import run_slabs
from geofeat.rasters._forest_votes import CodedForest, forest_votes

_SLAB_ROWS = 2**13


class MapModel:
    """A fitted estimator that fills the layers of a map.

    Parameters
    ----------
    estimator : fitted estimator or Pipeline
        Takes rows of vectors or of places.
    probabilities : {False, True, "percent"}
        Whether the layers are classes or the probability of each.

    Attributes
    ----------
    classes : ndarray or None
        Labels in the order of codes 1, 2, ...; None for numbers.
    probabilities : bool
        Whether layers hold probabilities.
    n_layers : int
        Layers of the map.
    dtype : str
        Their type.
    nodata : float
        What stands for no value.
    """

    def __init__(self, estimator: Any, probabilities: bool | str):
        check_is_fitted(estimator)
        self._steps: Any = None
        self._last = estimator
        if isinstance(estimator, Pipeline):
            self._last = estimator.steps[-1][1]
            self._steps = estimator[:-1] if len(estimator.steps) > 1 else None
        if not hasattr(self._last, "predict"):
            raise TypeError(f"the last step {self._last!r} predicts nothing; a map needs predict")
        self.classes = _classes(self._last)
        self.names: list[str] | None = _fitted_names(estimator)
        self.probabilities = bool(probabilities)
        self._percent = probabilities == "percent"
        self._forest = forest_votes(self._last) if self.classes is not None else None
        self._coded: tuple[np.ndarray, CodedForest | None] | None = None
        self.n_layers, self.dtype, self.nodata = self._layout()

    def _layout(self) -> tuple[int, str, float]:
        if self.classes is None:
            if self.probabilities:
                raise ValueError(f"{self._last!r} is no classifier: it has no probabilities")
            return 1, "float32", np.nan
        if self.probabilities:
            if not hasattr(self._last, "predict_proba"):
                raise ValueError(f"{self._last!r} has no predict_proba: leave probabilities=False")
            return len(self.classes), *(("uint8", 255) if self._percent else ("float32", np.nan))
        if len(self.classes) > 65535:
            raise ValueError(f"{len(self.classes)} classes: a map holds at most 65535")
        return 1, "uint8" if len(self.classes) <= 255 else "uint16", 0

    def coded(self, tables: np.ndarray) -> CodedForest | None:
        """Forest that reads bytes of the given values in place of vectors, where there is one."""
        if self._forest is None or self._steps is not None:
            return None
        if self._coded is None or not np.array_equal(self._coded[0], tables, equal_nan=True):
            self._coded = tables, self._forest.for_bytes(tables)
        return self._coded[1]

    def fill(
        self,
        rows: np.ndarray,
        which: np.ndarray,
        out: np.ndarray,
        coded: CodedForest | None = None,
    ) -> None:
        """Write the layers of ``rows[which]`` to ``out[:, which]`` on the usable threads.

        With ``coded`` rows hold its codes.
        """

        def work(start: int, stop: int) -> None:
            part = which[start:stop]
            # An estimator's own threads would come on top of ours.
            with joblib.parallel_config(backend="sequential"):
                out[:, part] = self._layers(rows, part, coded)

        run_slabs(work, which.size, _SLAB_ROWS)

    def _layers(self, rows: np.ndarray, which: np.ndarray, coded: CodedForest | None) -> np.ndarray:
        forest = self._forest if coded is None else coded.forest
        if forest is not None and self._steps is None and rows.dtype == forest.limit.dtype:
            votes = forest.tally(rows, which)
            if votes is not None:
                return self._of_votes(votes)
        table: Any = rows[which]
        if self.names is not None:
            table = _frame(table, self.names)
        if self._steps is not None:
            table = self._steps.transform(table)
        if self.probabilities:
            return self._percents(self._last.predict_proba(table))
        predicted = np.asarray(self._last.predict(table))
        if predicted.ndim > 1 and predicted.shape[1] > 1:
            raise ValueError("the estimator predicts several outputs; a map takes one")
        predicted = predicted.reshape(-1)
        if self.classes is None:
            return predicted.astype(np.float32)[None]
        order = np.argsort(self.classes, kind="stable")
        place = np.searchsorted(self.classes, predicted, sorter=order)
        return (order[place] + 1)[None]

    def _of_votes(self, votes: np.ndarray) -> np.ndarray:
        """Shares of the votes, or the code of the class with most, the first of equals."""
        if self.probabilities:
            return self._percents(votes / len(self._last.estimators_))
        return (votes.argmax(axis=1) + 1)[None]

    def _percents(self, shares: np.ndarray) -> np.ndarray:
        """Probabilities as layers, in the type of the map."""
        return np.rint(100.0 * shares.T) if self._percent else shares.T


def _classes(model: Any) -> np.ndarray | None:
    """Labels that a model predicts, in the order of its columns; None where it predicts numbers."""
    if not is_classifier(model):
        return None
    if isinstance(model.classes_, list):
        raise ValueError("the estimator predicts several outputs; a map takes one")
    return np.asarray(model.classes_)


def _fitted_names(estimator: Any) -> list[str] | None:
    """Column names that an estimator was fitted with, None where it saw none."""
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def _frame(table: np.ndarray, names: list[str]) -> Any:
    import pandas as pd

    return pd.DataFrame(table, columns=names, copy=False)
