"""How the documents are built: Sphinx with MyST Markdown and the Furo theme."""

from __future__ import annotations

import tutela

project = "Tutela"
author = "The Tutela authors"
copyright = "The Tutela authors, Apache-2.0"
version = release = tutela.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist", "fieldlist", "colon_fence", "attrs_block"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"Tutela {version}"
html_theme_options = {"navigation_with_keys": True}
html_copy_source = False
nitpicky = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
