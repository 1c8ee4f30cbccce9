#!/usr/bin/env bash
# Installs the Debian packages that the build needs and that are missing; does nothing if none is.
#   clang, libclang-dev      RocksDB (C++) and its bindings, librdkafka (C)
#   make, pkg-config         librdkafka's own build
#   libssl-dev, zlib1g-dev   librdkafka with TLS and gzip
#   ccache                   C and C++ compiled once for run, test and bench
#   gcc                      the linker that rustc calls
#   libfaketime              servers with a clock of their own, in tests
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
needed=(clang libclang-dev make pkg-config libssl-dev zlib1g-dev ccache gcc libc6-dev ca-certificates git util-linux libfaketime)

command -v dpkg-query >/dev/null || {
    echo "system-packages: not a Debian system, install the like of: ${needed[*]}" >&2
    exit 1
}

missing=()
for package in "${needed[@]}"; do
    status=$(dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null || true)
    [[ $status == *"install ok installed"* ]] || missing+=("$package")
done
((${#missing[@]} > 0)) || exit 0

source "$here/tools.sh"
echo "system-packages: installing ${missing[*]}"
install_packages "${missing[@]}"
