# Runs a throw-away server for as long as its parent lives: guard.sh DIRECTORY COMMAND...
# A line on standard input starts the server. When standard input ends, because the parent stopped or
# was killed, the server is stopped at once and the directory removed.
directory=$1
shift
if read -r _; then
    "$@" </dev/null >"$directory/server.log" 2>&1 &
    server=$!
    cat >/dev/null
    kill -QUIT "$server" 2>/dev/null
    wait "$server"
fi
# Whoever still writes there is about to end.
rm -rf "$directory" || { sleep 1 && rm -rf "$directory"; }
