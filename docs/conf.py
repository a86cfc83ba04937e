# SPDX-License-Identifier: Apache-2.0
"""Sphinx's settings for the site; scripts/docs.sh calls it. The source folder is the repository, so that pages are the
Markdown files where they lie, with the links that work there, and README is the first page."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
VERSION = re.findall(r"#define SWD_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", (ROOT / "include/swd/swd.h").read_text(encoding="ascii"))

project, author, release = "libswd", "the libswd authors", ".".join(VERSION)
project_copyright = "2026, " + author
extensions = ["myst_parser", "breathe", "sphinx.ext.autodoc", "sphinx_copybutton"]
root_doc = "README"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md", "bindings/*/README.md",
                    "bench/README.md", "tools/cudasim/README.md"]
nitpicky = True
# Others' documentation, and names that stand for types in signatures, which the page explains.
ALIASES = ("ArrayLike", "Tree", "Rate", "Counters")
nitpick_ignore_regex = [("py:.*", r"(torch|jax|os|ctypes|contextlib)\..*|.*\._Optimizer|Mesh|ParamsT|Hook|" + "|".join(ALIASES)),
                        ("c:identifier", r"u?int\d+_t|size_t"), ("cpp:identifier", r"u?int\d+_t|swd_.*|PlanMemory<.*")]
suppress_warnings = ["duplicate_declaration.c"]  # typedef struct x { ... } x: two names to C, one to Sphinx
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"libswd {release}"
html_static_path, html_css_files = ["site.css"], ["site.css"]
html_show_sphinx = False
html_copy_source = False

breathe_projects = {"swd": str(ROOT / "build/docs/doxygen/xml")}
breathe_default_project = "swd"
breathe_show_include = False
breathe_domain_by_extension = {"h": "c"}
autodoc_mock_imports = ["torch", "numpy", "jax", "swd.jax.shim"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ALIASES}
python_use_unqualified_type_names = True
maximum_signature_line_length = 100  # longer ones have a line for each parameter
autodoc_preserve_defaults = True

# The sidebar. In the source it would be noise on README's own page.
CONTENTS = """
```{toctree}
:hidden:
:caption: Use
Start here <self>
docs/install
docs/integration
docs/frameworks
docs/weight_decay
docs/evidence
docs/narrow_states
docs/numerics
docs/performance
docs/performance_cuda
```
```{toctree}
:hidden:
:caption: Reference
docs/reference_c
docs/reference_cpp
docs/reference_python
docs/abi
libswd from Rust <bindings/rust/README>
libswd from Python <bindings/python/README>
```
```{toctree}
:hidden:
:caption: Project
docs/testing
docs/platforms
tools/cudasim/README
bench/README
CONTRIBUTING
SECURITY
CHANGELOG
```
"""


def edit_source(app, docname, source):
    if docname == root_doc:
        source[0] += CONTENTS
    for page, header, place in (("c", "swd.h", "THE MANUAL"), ("cpp", "swd.hpp", "THE OWNERS")):
        if docname == "docs/reference_" + page:  # the header's first comment, with its lines
            comment = (ROOT / "include/swd" / header).read_text(encoding="ascii").split("@file\n")[1].split("*/")[0]
            source[0] = source[0].replace(place, re.sub(r"^ \* ?", "", comment, flags=re.M))


def read_docstring(app, what, name, obj, options, lines):
    """Docstrings are plain text: indented blocks keep their lines, an underscore at the end of a word is no link. One that is
    empty is a warning, and so an error, since scripts/docs.sh allows none."""
    from sphinx.util import logging
    if not any(line.strip() for line in lines):
        logging.getLogger("swd").warning("%s %s has no docstring", what, name)
    if lines and lines[0].startswith("Alias for field number"):  # of a NamedTuple, said by Python
        lines.clear()
    out, literal = [], False
    for before, line in zip(["", *lines], lines):
        if line.startswith("    ") and not before.strip() and not literal:
            literal = True
            if not (out and "".join(out[-2:]).strip().endswith("::")):
                out += ["::", ""]
        elif line.strip() and not line.startswith("    "):
            literal = False
        out.append(line if literal else re.sub(r"(?<=\w)_(?!\w)", r"\\_", line))
    lines[:] = out


def read_signature(app, what, name, obj, options, signature, returns):
    """Of a class whose base is a stand-in for another package's autodoc sees the stand-in's, which takes anything. And an
    alias inside of another type is shown as what holds it in Sphinx."""
    from sphinx.util import inspect
    if what == "class" and signature and signature.startswith("(*args"):
        init = inspect.signature(obj.__init__, bound_method=True, type_aliases=autodoc_type_aliases)
        signature = inspect.stringify_signature(init, show_return_annotation=False, unqualified_typehints=True)
    return signature and re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", signature), returns


def keep_text(app, env, node, contnode):
    """Breathe gives a template no label, but refers to it from its base."""
    return contnode if node.get("reftarget") == "structswd_1_1PlanMemory" else None


def setup(app):
    app.connect("source-read", edit_source)
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("autodoc-process-signature", read_signature)
    app.connect("missing-reference", keep_text)
