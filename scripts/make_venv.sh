#!/bin/sh
# Makes .venv in the current folder, or leaves a working one alone.
#
# Needs Python 3.11 or newer.  Debian keeps `ensurepip`, which makes virtual environments usable, in a package
# of its own: it is installed where this may install it, and named where it may not.
set -eu

venv=.venv

fail() {
    printf 'venv: %s\n' "$@" >&2
    exit 1
}

is_new_enough() {
    command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.14; do
        if is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed, and '${PYTHON:-python3}' is not." \
        "Name another one with: make PYTHON=/path/to/python3.11 ..."
}

# A virtual environment knows its own place: after the checkout was moved, its programs do not start.
works() {
    [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1 &&
        head -n 3 "$venv/bin/pip" | grep -qF "$(pwd -P)/$venv/bin/"
}

if works; then
    exit 0
fi
if [ -e "$venv" ]; then
    echo "venv: $venv does not work here (moved, or its Python is gone); making it anew"
    rm -rf "$venv"
fi
python=$(find_python)
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    sh scripts/system_package.sh "python$version-venv" ||
        fail "$python cannot make virtual environments; install them: apt-get install python$version-venv"
fi
"$python" -m venv "$venv" || {
    rm -rf "$venv"
    fail "'$python -m venv $venv' failed"
}
echo "venv: made $venv with $("$venv/bin/python" --version)"
