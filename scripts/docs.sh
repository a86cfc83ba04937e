#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the site from the Markdown files, the C header and the Python package: build/docs/html/index.html. A warning is an
# error: a link that leads nowhere, a public name without a word on what it is. Sphinx, MyST, Breathe and the theme come from
# PyPI into build/docs/venv. Usage: docs.sh
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/build/docs
venv=$work/venv
scripts/install_deps.sh docs python
mkdir -p "$work"

if ! "$venv/bin/python" -c 'import sphinx, myst_parser, breathe, furo, sphinx_copybutton, linkcheck' 2> /dev/null; then
  echo "installing Sphinx into build/docs/venv"
  /usr/bin/python3 -m venv "$venv"
  "$venv/bin/python" -m pip install -q --disable-pip-version-check sphinx==9.0.4 myst-parser==5.2.0 breathe==5.1.0 furo==2025.12.19 \
    sphinx-copybutton==0.5.2 linkchecker==10.6.0
fi

# The package as it is installed: the modules with a library, which they load when they are imported.
cmake -S . -B "$work/cmake" -DCMAKE_BUILD_TYPE=Debug -DSWD_CUDA=OFF -DSWD_BUILD_TESTS=OFF -DSWD_BUILD_BENCH=OFF -DSWD_BUILD_EXAMPLES=OFF > "$work/cmake.log"
cmake --build "$work/cmake" -j "$(nproc)" --target swd >> "$work/cmake.log"
rm -rf "$work/package" && mkdir -p "$work/package"
cp -r bindings/python/swd "$work/package"
mkdir -p "$work/package/swd/lib"
cp "$work"/cmake/libswd.so.?.? "$work/package/swd/lib"

mkdir -p "$work/doxygen"
(cat docs/Doxyfile; echo "GENERATE_HTML = NO"; echo "GENERATE_XML = YES"; echo "AUTOLINK_SUPPORT = NO"; echo "OUTPUT_DIRECTORY = $work/doxygen") | doxygen -
PYTHONPATH=$work/package "$venv/bin/sphinx-build" -q -W --keep-going -E -d "$work/doctrees" -c docs -b html . "$work/html"
cp "$work/html/README.html" "$work/html/index.html"
"$venv/bin/linkchecker" --no-status --no-warnings -f docs/linkcheckerrc "$work/html/index.html" > "$work/links.log" 2>&1 ||
  { cat "$work/links.log"; echo "docs.sh: broken links" >&2; exit 1; }
tail -n 2 "$work/links.log"
echo "build/docs/html/index.html: $(find "$work/html" -name '*.html' | wc -l) pages"
