"""How Sphinx builds these pages: `make docs`."""

project = "Relay"
copyright = "the authors of Relay"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
highlight_language = "text"

myst_heading_anchors = 3

html_theme = "furo"
html_title = "Relay"
html_copy_source = False
html_show_sphinx = False
