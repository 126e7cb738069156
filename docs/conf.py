"""Sphinx configuration: pages from docstrings and lists, gallery from examples/."""

import sys
from pathlib import Path

import sktopo

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from lists import api_page, measures_page

(HERE / "api.rst").write_text(api_page())
(HERE / "measures.rst").write_text(measures_page())

project = "sktopo"
copyright = "2026, the sktopo developers"
release = sktopo.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
html_theme = "alabaster"
html_theme_options = {"description": "Topographic CNNs the scikit-learn way"}
exclude_patterns = ["_build"]
autosummary_generate = True
numpydoc_show_class_members = False
# scikit-learn's own, in inherited docstrings
suppress_warnings = ["ref.ref", "ref.term"]
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
}
