#!/usr/bin/env bash
# Checks docker-compose.yml against the schema of the Compose Specification, which check-jsonschema brings along.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
requirements="$here/python.txt"
checker="${DBINTEL_CACHE:-$HOME/.cache/dbintel}/tools/check-jsonschema"

source "$root/tests/servers/tools.sh"

if ! cmp -s "$requirements" "$checker/python.txt"; then
    python3 -m pip --version >/dev/null 2>&1 || install_packages python3 python3-pip
    rm -rf "$checker"
    python3 -m pip install -q --disable-pip-version-check --root-user-action ignore --no-deps --only-binary=:all: --target "$checker" -r "$requirements"
    cp "$requirements" "$checker/python.txt"
fi

PYTHONPATH="$checker" python3 -m check_jsonschema --builtin-schema vendor.compose-spec "$root/docker-compose.yml"
