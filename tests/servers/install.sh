#!/usr/bin/env bash
# Installs the real servers that the tests start, each into a folder of the cache.
#
#   install.sh              all of them
#   install.sh postgres     only those named (postgres stands for all of its majors)
#
# Everything comes through a package manager's own client, with the machine's own settings.
# A finished server leaves a stamp, so that a second run only looks at stamps.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
servers="${DBINTEL_CACHE:-$HOME/.cache/dbintel}/servers"
postgres=(postgres-12 postgres-13 postgres-14 postgres-15 postgres-16 postgres-17 postgres-18)
all=(kafka "${postgres[@]}" mysql-9 mariadb-10 mariadb-11 extensions registry rotel pgbouncer prometheus exporters python collector)

# What each server is; a stamp with another text means that the server is installed again.
declare -A version=(
    [kafka]="4.3.0"
    [postgres-12]="12.22.0-beta.15"
    [postgres-13]="13.23.0-beta.16"
    [postgres-14]="14.23.0-beta.17"
    [postgres-15]="15.18.0-beta.17"
    [postgres-16]="16.14.0-beta.17"
    [postgres-17]="17.10.0-beta.17"
    [postgres-18]="18.4.0-beta.17"
    [mysql-9]="sid"
    [mariadb-10]="stable"
    [mariadb-11]="sid"
    [extensions]="debian"
    [registry]="3.0.9"
    [rotel]="0.0.1a15"
    [pgbouncer]="debian"
    [prometheus]="debian"
    [exporters]="debian"
    [python]="confluent-kafka==2.16.1 fastavro==1.13.1"
    [collector]="0.159.0"
)

source "$here/tools.sh"
source "$here/recipes.sh"
source "$here/mysql.sh"

installed() {
    [[ -f "$servers/$1/.installed" && "$(<"$servers/$1/.installed")" == "${version[$1]}" ]]
}

# Builds the server in a folder beside its place, and moves it there when it is whole.
install_server() {
    local name=$1 partial="$servers/$1.partial" log="$servers/$1.log"
    rm -rf "$partial"
    mkdir -p "$partial"
    # A subshell with its own -e: inside a condition the shell would ignore failures.
    set +e
    (set -e; cd "$partial"; "install_${name%%-*}" "${version[$name]}") >"$log" 2>&1
    local status=$?
    set -e
    if ((status != 0)); then
        echo "servers: $name ${version[$name]} could not be installed, the end of $log says:" >&2
        tail -n 20 "$log" >&2
        exit 1
    fi
    echo "${version[$name]}" >"$partial/.installed"
    rm -rf "${servers:?}/$name"
    mv "$partial" "$servers/$name"
}

wanted=()
for name in "${@:-${all[@]}}"; do
    case $name in
        postgres) wanted+=("${postgres[@]}") ;;
        *)
            [[ -v "version[$name]" ]] || { echo "servers: no server is called $name, there are: ${all[*]}" >&2; exit 64; }
            wanted+=("$name")
            ;;
    esac
done

missing=()
for name in "${wanted[@]}"; do
    installed "$name" || missing+=("$name")
done
((${#missing[@]} > 0)) || exit 0

mkdir -p "$servers"
exec {lock}>"$servers/.lock"
flock "$lock"
for name in "${missing[@]}"; do
    installed "$name" && continue # by another run that held the lock
    started=$SECONDS
    install_server "$name"
    echo "servers: $name ${version[$name]} installed in $((SECONDS - started)) s"
done
