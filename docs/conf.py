"""Configuration of the documentation. `make docs` builds it, warnings are errors."""

import inspect
import os
import sys
from pathlib import Path

os.environ.setdefault("SCIPY_ARRAY_API", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import geofeat

project = "geofeat"
author = "The geofeat developers"
copyright = "The geofeat developers, BSD-3-Clause"
version = release = geofeat.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
]
# No intersphinx: the build must not need the network.
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_title = f"geofeat {release}"
html_theme_options = {
    "header_links_before_dropdown": 6,
    "navigation_depth": 2,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
}
html_show_sourcelink = False

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # types stand in the Parameters sections
numpydoc_show_class_members = False  # the class template lists them


def skip_foreign_members(app, what, name, obj, skip, options):
    """Leave out what a class inherits from scikit-learn, whose pages document it."""
    home = getattr(inspect.unwrap(obj) if callable(obj) else obj, "__module__", "") or ""
    return True if callable(obj) and not home.startswith("geofeat") else skip


def setup(app):
    """Connect the filter of inherited members."""
    app.connect("autodoc-skip-member", skip_foreign_members)
