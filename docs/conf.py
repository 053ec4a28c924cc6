"""Sphinx configuration. Build with: sphinx-build -W docs docs/_build"""

from importlib.metadata import version as installed_version

project = "sklearn-robust"
author = "the sklearn_robust developers"
project_copyright = f"2026, {author}"
release = version = installed_version("sklearn-robust")

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "generated", "benchmarks"]  # the last holds tables that a page includes

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it
numpydoc_show_class_members = False  # autodoc lists them

html_theme = "furo"
html_title = f"{project} {release}"
