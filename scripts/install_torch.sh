#!/bin/sh
# Puts PyTorch into .venv for the tests that log its tensors.
#
# A CPU build is enough.  The index's default for Linux brings over 2 GB of CUDA along, so a CPU build that pip
# finds on this machine (a folder in PIP_FIND_LINKS) is taken first.  EPOCHAL_TEST_TORCH=0 does without: the
# tests that need it are then reported as not run.
set -eu

pip="$PWD/.venv/bin/python -m pip install --quiet --disable-pip-version-check"

if [ "${EPOCHAL_TEST_TORCH:-1}" = 0 ]; then
    echo "PyTorch is left out; the tests that need it will be reported as not run"
    exit 0
fi
.venv/bin/python -c 'import torch' 2>/dev/null || $pip --no-index --no-deps torch 2>/dev/null || true
# Installs it from the index where it was not found above, and in any case what it stands on.
$pip --group test-torch || {
    echo "PyTorch could not be installed; the tests that need it will be reported as not run" >&2
}
