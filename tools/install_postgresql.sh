#!/bin/sh
# Installs Debian's PostgreSQL, which the history is tested on, where it is missing and we are root, as in CI.
# Anywhere else a database server is not ours to install: those tests are then skipped, and say so.

for program in /usr/lib/postgresql/*/bin/postgres; do
    [ -x "$program" ] && exit 0
done
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "There is no PostgreSQL here, so the history is tested on SQLite alone: sudo apt-get install postgresql" >&2
    exit 0
fi
echo "Installing PostgreSQL for the history's tests"
apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null ||
    echo "PostgreSQL could not be installed; the history is tested on SQLite alone." >&2
exit 0
