"""Configuration of the documentation. `make docs` builds it, warnings are errors."""

import inspect
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
os.environ.setdefault("SCIPY_ARRAY_API", "1")
# Pages show what a reader sees in a file of output: no bars that redraw themselves.
os.environ.setdefault("TQDM_DISABLE", "1")
sys.path[:0] = [str(HERE.parent), str(HERE / "_extensions")]

from inventories import reachable_inventories

import geofeat

project = "geofeat"
author = "The geofeat developers"
copyright = "The geofeat developers, BSD-3-Clause"
version = release = geofeat.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "matplotlib.sphinxext.plot_directive",
    "api_links",
    "benchmark_records",
    "mathml",
    "myst_parser",
    "numpydoc",
    "page_code",
    "picture_first",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery", "performance", "llms.txt"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_title = f"geofeat {release}"
html_static_path = ["_static"]
html_css_files = ["geofeat.css"]
html_extra_path = ["llms.txt"]
html_math_renderer = "mathml"
html_context = {"default_mode": "auto"}
html_favicon = "_static/logo.svg"
html_theme_options = {
    "logo": {
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
        "text": "geofeat",
    },
    "header_links_before_dropdown": 6,
    "navigation_depth": 2,
    "secondary_sidebar_items": ["page-toc"],
    "primary_sidebar_end": [],
    "show_prev_next": False,
}
html_show_sourcelink = False
html_domain_indices = False

intersphinx_mapping = reachable_inventories(HERE / "_build" / "inventories")

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

plot_formats = [("png", 150)]
plot_html_show_formats = False
plot_html_show_source_link = False

autosummary_generate = True
toc_object_entries_show_parents = "hide"
default_role = "py:obj"
autodoc_typehints = "none"  # types stand in the Parameters sections
numpydoc_show_class_members = False  # the class template lists them

sphinx_gallery_conf = {
    "abort_on_example_error": True,
    "backreferences_dir": "generated/backreferences",
    "copyfile_regex": r".*\.rst",
    "doc_module": ("geofeat",),
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "min_reported_time": 1e9,  # no timings: they are this machine's
    "matplotlib_animations": False,
    "reference_url": {"geofeat": None},
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "within_subsection_order": "gallery_order.PageOrder",
    "write_computation_times": False,
}


def skip_foreign_members(app, what, name, obj, skip, options):
    """Leave out what a class inherits from scikit-learn, whose pages document it."""
    home = getattr(inspect.unwrap(obj) if callable(obj) else obj, "__module__", "") or ""
    return True if callable(obj) and not home.startswith("geofeat") else skip


def setup(app):
    """Connect the filter of inherited members."""
    app.connect("autodoc-skip-member", skip_foreign_members)
