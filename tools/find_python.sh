#!/bin/sh
# Prints the first Python that is 3.11 or newer and can make virtual environments; otherwise says what to install.

for candidate in python3.13 python3.12 python3.11 python3; do
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
        command -v "$candidate"
        exit 0
    fi
    without_venv=${without_venv:-$candidate}
done

if [ -n "$without_venv" ]; then
    version=$("$without_venv" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "$without_venv cannot make virtual environments. Install that part: sudo apt-get install python$version-venv" >&2
else
    echo "Switchboard needs Python 3.11 or newer. Install it: sudo apt-get install python3 python3-venv" >&2
    echo "(Debian 12, Ubuntu 24.04 and later have it. On Ubuntu 22.04: sudo apt-get install python3.11 python3.11-venv)" >&2
fi
exit 1
