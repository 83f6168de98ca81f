#!/bin/sh
# Installs Debian packages where this may: as root, or with a sudo that asks nothing.
#
#   sh scripts/system_package.sh PACKAGE...
#
# Ends with 1 and changes nothing where it may not; then it has named the command.
set -eu

if ! command -v apt-get >/dev/null 2>&1; then
    echo "system packages: this machine has no apt-get; please install by its own means: $*" >&2
    exit 1
elif [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root=sudo
else
    echo "system packages: not root; please run: sudo apt-get install --no-install-recommends $*" >&2
    exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "system packages: installing $*"
# An index that cannot be refreshed is no reason to stop: the packages may be in the one that is here.
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update >"$log" 2>&1 || cat "$log" >&2
if ! $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --no-install-recommends "$@" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    exit 1
fi
