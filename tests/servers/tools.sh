# Helpers of install.sh and system-packages.sh: Debian packages, commands, checksums.

as_root() {
    if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

packages_updated="${TMPDIR:-/tmp}/dbintel-packages-updated.$$"
trap 'rm -f "$packages_updated"' EXIT

# The package index is brought up to date once per run, and only if a package is needed.
update_packages() {
    [[ -e $packages_updated ]] || as_root apt-get update -qq
    touch "$packages_updated"
}

install_packages() {
    update_packages
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# need COMMAND PACKAGE...: installs the packages if the command is not there.
need() {
    local command=$1
    shift
    command -v "$command" >/dev/null || install_packages "$@"
}

# Checks each file given against checksums.txt, under the name SERVER/FILE.
verify() {
    local server=$1 file name recorded actual wrong=0
    shift
    for file in "$@"; do
        name="$server/$(basename "$file")"
        recorded=$(awk -v name="$name" '$2 == name { print $1 }' "$here/checksums.txt")
        actual=$(sha256sum "$file" | cut -d' ' -f1)
        if [[ -z $recorded ]]; then
            echo "$name is not in checksums.txt, its sha256 is $actual"
            wrong=1
        elif [[ $recorded != "$actual" ]]; then
            echo "$name has the sha256 $actual, checksums.txt says $recorded"
            wrong=1
        fi
    done
    return "$wrong"
}

# As verify, but Debian replaces its packages: a version that is not recorded is accepted,
# since apt has checked it against the signed index.
verify_debian() {
    local server=$1 file
    shift
    for file in "$@"; do
        if grep -qF " $server/$(basename "$file")" "$here/checksums.txt"; then
            verify "$server" "$file"
        else
            echo "$(basename "$file") is newer than checksums.txt, accepted as apt verified it"
        fi
    done
}
