#!/bin/sh
# Runs inside the Debian image: unpacks distroless's own list of packages into DEST.
# distroless-rootfs.sh DEST DEBUG
set -eu
dest=$1
packages='base-files netbase tzdata media-types ca-certificates libc6 libssl3t64 libzstd1 zlib1g libgcc-s1 libgomp1 libstdc++6'
# The licence texts of the compiler's libraries are links into this package.
packages="$packages gcc-14-base"
if [ "$2" = true ]; then
    packages="$packages busybox-static"
fi

work=$(mktemp -d)
cd "$work"
apt-get update -q
# apt's own download user can't write to a folder of root's.
# shellcheck disable=SC2086
apt-get -o APT::Sandbox::User=root download -q $packages

mkdir -p "$dest/var/lib/dpkg/status.d"
for deb in *.deb; do
    dpkg-deb -x "$deb" "$dest"
    # Scanners find out from here which packages an image holds.
    dpkg-deb -f "$deb" >"$dest/var/lib/dpkg/status.d/$(dpkg-deb -f "$deb" Package)"
done

# The certificates' bundle is made by the package's maintainer script, which isn't run here.
cat "$dest"/usr/share/ca-certificates/mozilla/*.crt >"$dest/etc/ssl/certs/ca-certificates.crt"

cat >"$dest/etc/passwd" <<'PASSWD'
root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
PASSWD
cat >"$dest/etc/group" <<'GROUP'
root:x:0:
nobody:x:65534:
tty:x:5:
staff:x:50:
nonroot:x:65532:
GROUP
echo 'hosts: files dns' >"$dest/etc/nsswitch.conf"
mkdir -p "$dest/home/nonroot" "$dest/tmp" "$dest/root"
chown 65532:65532 "$dest/home/nonroot"
chmod 700 "$dest/home/nonroot" "$dest/root"
chmod 1777 "$dest/tmp"

if [ "$2" = true ]; then
    mkdir -p "$dest/busybox"
    find "$dest/bin" "$dest/usr/bin" -name busybox -exec mv {} "$dest/busybox/busybox" \;
    for applet in $("$dest/busybox/busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$dest/busybox/$applet"
    done
fi

# Debian's own scripts and everything but the licences are left out, as distroless does.
find "$dest/bin" "$dest/sbin" "$dest/usr/bin" "$dest/usr/sbin" ! -type d -delete 2>/dev/null || true
find "$dest/usr/share/doc" ! -type d ! -name copyright -delete
rm -rf "$dest/usr/share/man" "$dest/usr/share/info" "$dest/usr/share/lintian" "$dest/usr/share/locale" \
    "$dest/usr/share/gcc" "$dest/usr/share/base-files" "$dest/usr/lib/x86_64-linux-gnu/gconv" \
    "$dest/usr/lib/aarch64-linux-gnu/gconv"
find "$dest" -depth -type d -empty -path "$dest/usr/share/*" -delete
