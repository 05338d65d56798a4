"""Settings of Sphinx, which makes the site: ``make docs``."""

import contextlib
import io
import os

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from napari_neural_style import __version__
from napari_neural_style.cli import main

project = "napari-neural-style"
author = "The napari-neural-style developers"
version = release = __version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3  # as GitHub makes them

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it in words
numpydoc_show_class_members = False
# Docstrings name them without their modules.
nitpick_ignore = [
    ("py:class", "Update"),
    ("py:class", "StackUpdate"),
    ("py:meth", "Settings.to_dict"),
]

copybutton_exclude = ".linenos, .gp, .go"  # no prompts and no output

html_theme = "pydata_sphinx_theme"
html_title = "napari-neural-style"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_sidebars = {"**": []}  # all pages are in the bar above
html_theme_options = {
    "header_links_before_dropdown": 5,
    "github_url": "https://github.com/napari-neural-style/napari-neural-style",
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_prev_next": False,
}


class Help(Directive):
    """What a command's ``--help`` prints."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Ask the command."""
        os.environ |= {"COLUMNS": "90", "NO_COLOR": "1"}
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            main([self.arguments[0], "--help"])
        return [nodes.literal_block(printed.getvalue(), printed.getvalue(), language="text")]


def setup(app: Sphinx) -> None:
    """Add the directive."""
    app.add_directive("help", Help)
