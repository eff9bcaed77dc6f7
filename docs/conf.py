"""The site: `make docs` builds it into build/docs/html, strictly and without a network."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / folder) for folder in ("_ext", "inventories")]
from inventories import PROJECTS

project, author = "reverse-circuits", "the reverse-circuits authors"
copyright = f"{author}, Apache-2.0"
release = version = installed("reverse-circuits")
extensions = [
    *("myst_nb", "sphinx_copybutton", "sphinx.ext.autodoc", "sphinx.ext.viewcode"),
    *("sphinx.ext.intersphinx", "mathml", "claims", "claim_pages", "docstrings", "signatures", "api_pages"),
    *("notebook_pages", "tap_table", "offline"),
]
exclude_patterns = ["_ext", "_static"]
nitpicky = True

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"
html_math_renderer = "mathml"
smartquotes_action = "D"  # dashes only: quotes are often those of code

autodoc_typehints = "none"  # signatures.py writes them
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

# The names of other projects that our pages refer to, from files in the repository.
intersphinx_mapping = {name: (address, f"inventories/{name}.inv") for name, (address, _) in PROJECTS.items()}

html_theme = "furo"
html_title = "reverse-circuits"
html_static_path = ["_static"]
html_css_files, html_js_files = ["site.css"], ["site.js"]
html_copy_source = html_show_sourcelink = html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
