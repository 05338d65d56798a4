"""Settings of Sphinx, which makes the site: ``make docs``."""

import contextlib
import io
import os
from typing import ClassVar

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
    "sphinx_design",
]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3  # as GitHub makes them

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it in words
numpydoc_show_class_members = False

copybutton_exclude = ".linenos, .gp, .go"  # no prompts and no output

html_theme = "pydata_sphinx_theme"
html_title = "napari-neural-style"
html_static_path: list[str] = []
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "github_url": "https://github.com/napari-neural-style/napari-neural-style",
    "secondary_sidebar_items": ["page-toc"],
    "navigation_with_keys": False,
    "show_prev_next": False,
    "use_edit_page_button": True,
}
html_context = {
    "github_user": "napari-neural-style",
    "github_repo": "napari-neural-style",
    "github_version": "main",
    "doc_path": "docs",
}


class Help(Directive):
    """What a command's ``--help`` prints."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, object]] = {}

    def run(self) -> list[nodes.Node]:
        """Ask the command."""
        os.environ |= {"COLUMNS": "90", "NO_COLOR": "1"}
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            main([self.arguments[0], "--help"])
        return [nodes.literal_block(printed.getvalue(), printed.getvalue(), language="text")]


def setup(app: Sphinx) -> None:
    """Add the directive."""
    app.add_directive("help", Help)
