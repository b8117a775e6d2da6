#!/bin/sh
# Puts ONNX Runtime's shared library and its licences into a folder: fetch-onnxruntime.sh DEST
# Needs python3 with pip. A second run with the same pin does nothing.
set -eu

if [ "$#" -ne 1 ]; then
    echo "usage: $0 DEST" >&2
    exit 2
fi
dest=$1
requirements=$(dirname "$0")/onnxruntime-requirements.txt
machine=$(uname -m)
case $machine in
    x86_64 | aarch64) ;;
    *)
        echo "$0: no ONNX Runtime is pinned for the machine type $machine; x86_64 and aarch64 are" >&2
        exit 1
        ;;
esac

# The pins themselves are the stamp, so a changed pin fetches again.
if [ -f "$dest/libonnxruntime.so" ] && cmp -s "$requirements" "$dest/.requirements"; then
    exit 0
fi

mkdir -p "$dest"
# Beside the destination, so that the last step is a rename and never leaves half a library.
work=$(mktemp -d "$dest/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# Python and platform are named, so that the same wheel is taken whatever Python runs this.
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --require-hashes --requirement "$requirements" \
    --python-version 3.11 --implementation cp --abi cp311 \
    --platform "manylinux_2_28_$machine" --dest "$work"

python3 - "$work" <<'EXTRACT'
import pathlib
import shutil
import sys
import zipfile

work = pathlib.Path(sys.argv[1])
(wheel,) = work.glob("onnxruntime-*.whl")
wanted = {"LICENSE": "LICENSE", "ThirdPartyNotices.txt": "ThirdPartyNotices.txt"}
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        base = name.rsplit("/", 1)[-1]
        if base.startswith("libonnxruntime.so."):
            base = "libonnxruntime.so"
        elif name.startswith("onnxruntime/") and name.count("/") == 1 and base in wanted:
            base = wanted[base]
        else:
            continue
        # In small writes. On Linux 6.18 with ext4, a file that was written at once lies in the page cache in pieces of
        # 2 MiB, and a process that reads one byte of such a piece has all of it resident: 12 MiB more for a server.
        with archive.open(name) as source, open(work / base, "wb") as target:
            shutil.copyfileobj(source, target, 64 * 1024)
if not (work / "libonnxruntime.so").is_file():
    sys.exit(f"{wheel.name} holds no libonnxruntime.so")
EXTRACT

for file in LICENSE ThirdPartyNotices.txt libonnxruntime.so; do
    chmod 644 "$work/$file"
    mv -f "$work/$file" "$dest/$file"
done
cp "$requirements" "$dest/.requirements"
