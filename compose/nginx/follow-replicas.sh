#!/bin/sh
# nginx, and beside it a look every few seconds at which replicas there are (`--scale replica=3`): those that a name leads
# to are written where nginx.conf includes them, and nginx reads it again. Requests that run are not cut off by that.
set -eu
name=${REPLICAS:-replica}
folder=/tmp/replicas
mkdir -p "$folder"

found() {
    getent ahostsv4 "$name" | awk '{ print $1 }' | sort -u
}

write() {
    for address in $1; do echo "server $address:3141 max_fails=1 fail_timeout=10s;"; done >"$folder/readers.conf"
    for address in $1; do echo "server $address:3141 max_fails=1 fail_timeout=10s backup;"; done >"$folder/spare.conf"
}

known=$(found || true)
write "$known"
nginx -g 'daemon off;' &
server=$!
# SIGQUIT: nginx lets its requests end
trap 'kill -QUIT "$server"' QUIT TERM INT
(
    while sleep "${REPLICAS_EVERY:-3}"; do
        now=$(found || true)
        # a name that leads nowhere for a moment is no reason to forget everybody
        if [ -n "$now" ] && [ "$now" != "$known" ]; then
            known=$now
            write "$known"
            nginx -s reload || true
        fi
    done
) &
watch=$!
wait "$server" || true
wait "$server" 2>/dev/null || true
kill "$watch" 2>/dev/null || true
