"""The order of the gallery: from a first baseline to a map."""

from sphinx_gallery.sorting import FileNameSortKey

PAGES = (
    "plot_harmonic_baseline",
    "plot_embeddings_at_points",
    "plot_feature_blocks",
    "plot_spatial_validation",
    "plot_airports",
    "plot_prediction_map",
    "plot_smoothness",
    "plot_embedding_globe",
    "plot_random_features",
    "plot_space_time",
    "plot_array_api",
    "plot_ten_million_points",
    "plot_embedding_database",
    "plot_own_weights",
)


class PageOrder(FileNameSortKey):
    """Sort pages as they stand above; a page that is not there is an error."""

    def __call__(self, filename):
        """Return the place of a page."""
        return PAGES.index(filename.removesuffix(".py"))
