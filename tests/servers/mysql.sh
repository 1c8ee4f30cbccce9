# Recipes of MySQL and MariaDB: Debian packages, extracted with their own libraries and loader, and a data folder that each
# server of a test begins with.

# apt with folders of its own that reads only Debian's suite sid, from the mirror that this machine uses.
sid_apt() {
    apt-get -qq -o "Dir::State=$PWD/apt" -o "Dir::State::lists=$PWD/apt/lists" -o "Dir::State::status=$PWD/apt/status" \
        -o "Dir::Cache=$PWD/apt/cache" -o "Dir::Etc::sourcelist=$PWD/apt/sources.list" -o Dir::Etc::sourceparts=- \
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o APT::Sandbox::User=root -o Debug::NoLocking=1 "$@"
}

# Packages with all that they need, as nothing is installed in the private state but perl, which no server here runs.
download_sid() {
    mkdir -p apt/lists/partial apt/cache/archives/partial
    local mirror
    mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "Debian" { print $2; exit }')
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >apt/sources.list
    printf 'Package: perl\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: allowed\nVersion: 99\n\n' >apt/status
    sid_apt update
    sid_apt install -y --download-only --no-install-recommends "$@"
    mv apt/cache/archives/*.deb .
    rm -r apt
}

# Runs a program of the folder with the folder's own loader and libraries.
with_own_loader() {
    local libraries=usr/lib/x86_64-linux-gnu
    usr/lib64/ld-linux-x86-64.so.2 --library-path "$libraries" "$@"
}

own_user() {
    if [[ $(id -u) == 0 ]]; then echo --user=root; fi
}

install_mysql() {
    update_packages
    download_sid mysql-server-core
    extract_debian mysql
    ln -s usr/share/mysql share
    with_own_loader usr/sbin/mysqld --no-defaults "--basedir=$PWD/usr" "--lc-messages-dir=$PWD/share" \
        "--character-sets-dir=$PWD/share/charsets" "--datadir=$PWD/template" $(own_user) \
        --initialize-insecure
    rm -f template/auto.cnf
}

# $1 is the suite: stable has an older series than sid.
install_mariadb() {
    case $1 in
        sid*) update_packages && download_sid mariadb-server-core ;;
        *) download_debian mariadb-server-core libaio1 liburing2 ;;
    esac
    extract_debian mariadb
    mkdir template
    # Of newer series it has another name.
    if [[ -d usr/share/mariadb ]]; then ln -s usr/share/mariadb share; else ln -s usr/share/mysql share; fi
    {
        printf 'create database if not exists mysql;\nuse mysql;\nSET @auth_root_socket=NULL;\n'
        local part
        for part in system_tables performance_tables system_tables_data add_gis_sp_bootstrap sys_schema; do
            cat share/*_"$part".sql
        done
    } | run_mariadb --bootstrap --log-warnings=0 --enforce-storage-engine= --max-allowed-packet=8M \
        --net-buffer-length=16K "--datadir=$PWD/template"
}

run_mariadb() {
    local program=(usr/sbin/mariadbd --no-defaults "--basedir=$PWD/usr" "--lc-messages-dir=$PWD/share" $(own_user))
    if [[ -x usr/lib64/ld-linux-x86-64.so.2 ]]; then
        with_own_loader "${program[@]}" "$@"
    else
        LD_LIBRARY_PATH="$PWD/usr/lib/x86_64-linux-gnu:$PWD/lib/x86_64-linux-gnu" "${program[@]}" "$@"
    fi
}
