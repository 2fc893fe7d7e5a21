#!/bin/sh
# The servers and validators that tests ask: PostgreSQL, a browser (Chromium), a PACS (Orthanc with its DICOMweb), dcmtk's tools, and
# dicom3tools' validators. Debian and Ubuntu have them as packages. Without root, a package manager or a network nothing
# is installed, one line says so, and the tests that need them skip with their reason.
set -u
wanted="postgresql orthanc orthanc-dicomweb dcmtk dicom3tools chromium"

say() { echo "tests/servers/install.sh: $*" >&2; }

missing=""
for package in $wanted; do
    dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
command -v apt-get >/dev/null || { say "no apt-get here: install$missing by other means"; exit 0; }
[ "$(id -u)" = 0 ] || { say "run as root to install$missing"; exit 0; }

# Orthanc's package would start a server that listens on every address: services stay down while it is installed.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
fi

install() {
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes --no-install-recommends $missing >/dev/null 2>&1
}
install || { apt-get update --quiet --quiet >/dev/null 2>&1 && install; } || say "could not install$missing"
exit 0
