#!/usr/bin/env python3
"""Packs an image, a folder in OCI layout, into one file: oci_archive.py FOLDER CONFIG NAME ARCHIVE

CONFIG is the image's configuration as Docker has it. Its HEALTHCHECK has no field in the OCI format, so it is lost on the
way there; Docker and BuildKit read and write it in the same place all the same. Prints the digest by which registries
will know the image. The same content gives the same file. Needs nothing but Python.
"""

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def compact(document):
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def main():
    folder, config_of_docker, name, archive = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    blobs = folder / "blobs" / "sha256"

    def blob(described):
        return (blobs / described["digest"].removeprefix("sha256:")).read_bytes()

    (described,) = json.loads((folder / "index.json").read_bytes())["manifests"]
    manifest = json.loads(blob(described))
    config = json.loads(blob(manifest["config"]))
    healthcheck = json.loads(config_of_docker.read_bytes()).get("Healthcheck")
    if healthcheck:
        config["config"]["Healthcheck"] = healthcheck
    # buildah notes there which image it built a step on, one of its own that is another each time.
    for step in config["history"]:
        step.pop("comment", None)

    contents = {"oci-layout": (folder / "oci-layout").read_bytes()}

    def add(data, media_type):
        contents["blobs/sha256/" + digest_of(data).removeprefix("sha256:")] = data
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}

    for layer in manifest["layers"]:
        added = add(blob(layer), layer["mediaType"])
        if added["digest"] != layer["digest"]:
            sys.exit(f"{folder}: a layer isn't what its digest says: {layer['digest']}")
    manifest["config"] = add(compact(config), manifest["config"]["mediaType"])
    described = add(compact(manifest), described["mediaType"])
    described["platform"] = {"architecture": config["architecture"], "os": config["os"]}
    # containerd and Docker take the first for the image's name, skopeo and the specification the second.
    described["annotations"] = {
        "io.containerd.image.name": name if "/" in name else f"docker.io/library/{name}",
        "org.opencontainers.image.ref.name": name.rsplit(":", 1)[1],
    }
    contents["index.json"] = compact({"schemaVersion": 2, "manifests": [described]})

    with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(contents):
            entry = tarfile.TarInfo(path)
            entry.size = len(contents[path])
            tar.addfile(entry, io.BytesIO(contents[path]))
    print(described["digest"])


if __name__ == "__main__":
    main()
