"""Sphinx configuration: pages from docstrings and lists, gallery from examples/."""

import sys
from pathlib import Path

import sktopo

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from inventories import SITES
from lists import api_page, measures_page

(HERE / "api.rst").write_text(api_page())
(HERE / "guide" / "measures_list.rst").write_text(measures_page())

project = "sktopo"
copyright = "2026, the sktopo developers"
release = sktopo.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # formulas without a network
    "numpydoc",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
default_role = "py:obj"
exclude_patterns = ["_build", "benchmarks", "comparison", "objectives", "replication"]
suppress_warnings = [
    "ref.ref",  # scikit-learn's own, in inherited docstrings
    "ref.term",
]

html_theme = "pydata_sphinx_theme"
html_title = "sktopo"
html_static_path = ["_static"]
html_css_files = ["sktopo.css"]
html_show_sourcelink = False
# pages that are in no section
ALONE = (
    "install",
    "getting_started",
    "replication",
    "comparison",
    "objectives",
    "benchmarks",
    "faq",
    "glossary",
    "cite",
)
html_sidebars = {name: [] for name in ALONE}
html_theme_options = {
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_end": [],
}

# Types stand in the sections of the docstrings; a signature has a line a parameter.
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
maximum_signature_line_length = 70
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # words that are no types
numpydoc_xref_aliases = {
    "array-like": ":term:`sklearn:array-like`",
    "estimator": ":term:`sklearn:estimator`",
    "ndarray": "numpy.ndarray",
    "RandomState": "numpy.random.RandomState",
    "DataFrame": "pandas.DataFrame",
    "Series": "pandas.Series",
    "Bunch": "sklearn.utils.Bunch",
    "Tensor": "torch.Tensor",
    "nn.Module": "torch.nn.Module",
    "Axes": "matplotlib.axes.Axes",
    "Figure": "matplotlib.figure.Figure",
    "Grid": "sktopo.grid.Grid",
    "path-like": ":term:`python:path-like object`",
}

intersphinx_mapping = {
    name: (site, str(HERE / "inventories" / f"{name}.inv"))
    for name, site in SITES.items()
}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sktopo",),
    "remove_config_comments": True,
    "capture_repr": (),  # pages print what they show
}
