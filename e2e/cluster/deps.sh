#!/usr/bin/env bash
# Installs the Debian packages that the tests, the test node and the image builds need, or those that are
# named as arguments. Quick when they are there.
set -euo pipefail

packages=("$@")
((${#packages[@]})) || packages=(buildah ca-certificates conntrack containernetworking-plugins curl debootstrap gcc
  iproute2 ipset iptables jq libc6-dev openssl redis-server runc shellcheck util-linux)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
done
((${#missing[@]})) || exit 0

[[ $EUID == 0 ]] || { echo "error: missing Debian packages: ${missing[*]}; install them, or run this as root" >&2; exit 1; }
echo "installing ${missing[*]} ..."
export DEBIAN_FRONTEND=noninteractive
# Another run of apt isn't an error, only a wait.
quiet=(-qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
apt-get "${quiet[@]}" update >/dev/null || apt-get "${quiet[@]}" update
apt-get "${quiet[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
