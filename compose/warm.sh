#!/bin/sh
# Fills the cache of an image: starts the server, pins the git lines of a folder's *.txt files, fetches everything that
# they need, and ends the server. Further arguments are for `devpi-forkbuilder warm`.
set -eu
folder=$1
shift
export FORKBUILDER_HOST=127.0.0.1 HOME=/tmp/warm
index=${FORKBUILDER_INDEX:-main/forks}
root=http://127.0.0.1:$FORKBUILDER_PORT
mkdir -p /tmp/warm

files=
for file in "$folder"/*.txt; do
    files="$files -r $file"
done
# the git lines are pinned here, unless somebody else's server has the pins
[ -n "${FORKBUILDER_UPSTREAM:-}" ] || FORKBUILDER_REQUIREMENTS=$(echo "$folder"/*.txt)
export FORKBUILDER_REQUIREMENTS

devpi-forkbuilder up >/tmp/warm/log 2>&1 &
server=$!
trap 'status=$?; [ $status = 0 ] || tail -n 50 /tmp/warm/log >&2; kill $server 2>/dev/null || true' EXIT
until python -c "import urllib.request; urllib.request.urlopen('$root/+api', timeout=4)" 2>/dev/null; do
    kill -0 $server
    sleep 0.2
done

# shellcheck disable=SC2086  (a list of words)
devpi-forkbuilder warm --index-url "$root/$index/+simple/" $files --manifest /data/manifest.json "$@"

kill -TERM $server
wait $server
# Passwords, the server's secret, sources and logs are in no image; a container makes a secret of its own.
rm -rf "$FORKBUILDER_SERVERDIR/.forkbuilder" /tmp/warm
