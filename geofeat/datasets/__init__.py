"""Small data sets for the demo, the docs and the tests."""

from geofeat.datasets._tree_species import load_tree_species

__all__ = ["load_tree_species"]
