"""Sphinx configuration: API pages from the docstrings, gallery from examples/."""

import sktopo

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
