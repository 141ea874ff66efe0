#!/bin/sh
# Installs Debian's Redis, which the rate limit is tested on, where it is missing and we are root, as in CI.
# Anywhere else a server is not ours to install: those tests are then skipped, and say so.

command -v redis-server >/dev/null && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "There is no Redis here, so the rate limit is tested in memory alone: sudo apt-get install redis-server" >&2
    exit 0
fi
echo "Installing Redis for the rate limit's tests"
apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >/dev/null ||
    echo "Redis could not be installed; the rate limit is tested in memory alone." >&2
exit 0
