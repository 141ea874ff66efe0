#!/bin/sh
# Installs the Chromium that the browser tests drive, where it is missing and may be installed.

command -v chromium >/dev/null && exit 0
if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo"
else
    echo "The browser tests need Chromium. Install it: sudo apt-get install chromium" >&2
    exit 1
fi
echo "Installing Chromium for the browser tests"
$as_root apt-get update -qq &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
command -v chromium >/dev/null || {
    echo "Chromium could not be installed. The browser tests look for a program named chromium." >&2
    exit 1
}
