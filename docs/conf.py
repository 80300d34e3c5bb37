"""How the site is built (`make docs`): from this repository and the package index, without a network."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS / "_ext"))

from arker import __version__  # noqa: E402 - the path above is for the extensions

project = "Arker"
author = "The Arker authors"
project_copyright = "The Arker authors"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "contract",
    "results",
]
exclude_patterns = ["_ext"]
root_doc = "index"

# A link to nowhere and a type that nobody describes are errors (`-n -W`); these belong to others, whose pages
# are not fetched, so that the site builds without a network.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(os|pathlib|re|ssl|datetime|collections|typing|asyncio|concurrent|httpx|attrs?)\..*"),
    ("py:.*", r"(arker_api|generated)\..*"),
    # Type variables, and the mark of an argument that was not given.
    ("py:class", "Callback|(Async)?Stdin"),
    ("py:(class|obj)", r"arker\..*\.(E|P|R|T|T_co|Unchanged)"),
]

default_role = "code"
highlight_language = "none"
pygments_style = "friendly"
pygments_dark_style = "github-dark"

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_rtype = False
# `Attributes:` of a dataclass as a list, not as a second description of what autodoc has found by itself.
napoleon_use_ivar = True

# Code gets a button that copies it; what it prints does not.
copybutton_selector = "div:not(.highlight-text) > div.highlight > pre"

html_theme = "furo"
html_title = f"Arker {release}"
html_static_path = ["_static"]
html_css_files = ["arker.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1a5fb4", "color-brand-content": "#1a5fb4"},
    "dark_css_variables": {"color-brand-primary": "#7ab7ff", "color-brand-content": "#7ab7ff"},
}

linkcheck_anchors = False
linkcheck_timeout = 20
linkcheck_ignore = [r"https://.*\.burst\.arker\.ai.*", r"http://127\.0\.0\.1.*", r"http://localhost.*"]
