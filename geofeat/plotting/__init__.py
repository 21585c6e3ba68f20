"""Pictures: embeddings as maps, globes and dots, importances, folds and coverage.

Drawn with matplotlib (``pip install 'geofeat[plot]'``), which is imported by the first call.
"""

from geofeat.plotting._pca_rgb import pca_rgb
from geofeat.plotting._plot_block_importance import plot_block_importance
from geofeat.plotting._plot_coverage import plot_coverage
from geofeat.plotting._plot_embedding import plot_embedding
from geofeat.plotting._plot_feature import plot_feature
from geofeat.plotting._plot_folds import plot_folds

__all__ = [
    "pca_rgb",
    "plot_block_importance",
    "plot_coverage",
    "plot_embedding",
    "plot_feature",
    "plot_folds",
]
