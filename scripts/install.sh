#!/bin/sh
# Installs Epochal (editable, with its server) into .venv, and what a job needs on top.
#
#   sh scripts/install.sh              enough to run it
#   sh scripts/install.sh demo         and the examples
#   sh scripts/install.sh dev          and everything for tests and checks
#
# What is there already, for this pyproject.toml, is left alone and takes no time.
set -eu

job=${1:-run}
sh scripts/make_venv.sh
pip() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"
}

# The stamps lie inside .venv, so that a new one is filled anew.
wanted=$(cat pyproject.toml scripts/install.sh scripts/install_torch.sh | cksum)
is_done() {
    [ "$(cat ".venv/installed-$1" 2>/dev/null)" = "$wanted" ]
}

if ! is_done run; then
    echo "installing Epochal and its dependencies into .venv"
    # Dependency groups (pyproject.toml) are newer than the pip that comes with Python 3.11.
    pip 'pip>=25.1'
    # The web app has its own command here; the build hook would fetch Node.js for an editable install too.
    EPOCHAL_SKIP_WEB=1 pip --editable '.[server]'
    echo "$wanted" >.venv/installed-run
fi
if [ "$job" = demo ] && ! is_done demo && ! is_done dev; then
    echo "installing what the examples use into .venv"
    pip --group demo
    echo "$wanted" >.venv/installed-demo
fi
if [ "$job" = dev ] && ! is_done dev; then
    echo "installing the tools for tests and checks into .venv (some minutes the first time)"
    pip --group test --group lint
    sh scripts/install_torch.sh
    echo "$wanted" >.venv/installed-dev
fi
