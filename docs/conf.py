"""How Sphinx builds the documentation: ``sphinx-build -W --keep-going docs build/docs``."""

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # the extension `pages`
# The tutorials run with one thread and one cache, which stays between builds.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RSIR_BENCH_CACHE", str(HERE.parent / "build" / "cache"))

project = "rsir-bench"
author = "The rsir-bench maintainers"
release = version = installed_version("rsir-bench")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "pages",
]
exclude_patterns = ["pages", "_build"]
templates_path: list[str] = []

myst_enable_extensions = ["colon_fence", "deflist", "substitution"]
myst_heading_anchors = 3
suppress_warnings: list[str] = []

nb_execution_mode = "force"  # a notebook also changes with the package
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_output_stderr = "remove"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

copybutton_prompt_text = ">>> "

html_theme = "furo"
html_title = f"rsir-bench {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_show_sourcelink = False
html_show_search_summary = False  # it fetches pages, which a browser refuses on files
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5d7a", "color-brand-content": "#0b5d7a"},
    "dark_css_variables": {"color-brand-primary": "#7cc7e2", "color-brand-content": "#7cc7e2"},
}
