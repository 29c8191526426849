"""Sphinx's settings for the documentation site: https://www.sphinx-doc.org/en/master/usage/configuration.html."""

project = "threepid"
copyright = "The threepid authors"  # noqa: A001 - Sphinx's name
html_title = "threepid"
extensions = ["myst_parser"]
myst_heading_anchors = 4
"""Headings of this depth get the anchors that links in the pages use, as on GitHub."""
html_theme = "furo"
html_copy_source = False
html_show_sphinx = False
html_favicon = "../../src/threepid/web/static/favicon.svg"
