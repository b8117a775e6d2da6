#!/usr/bin/env python3
"""Says how the files of a release were made, as an in-toto statement with SLSA's provenance (version 1 of both):

    provenance.py --version VERSION --commit COMMIT --sources FOLDER --sums SHA256SUMS [--images PREFIX] [--material NAME=DIGEST]...

Its subjects are the files of SHA256SUMS; a material's digest is like sha256:0123. Who built is read from the variables that
GitHub sets. Needs nothing but Python.
"""

import argparse
import hashlib
import json
import os
import re
import sys
from pathlib import Path

# What a build reads beside its commit, each with the digests of all that it may fetch.
PINS = ["Cargo.lock", "scripts/onnxruntime-requirements.txt", "models/default/SHA256SUMS"]


def builder():
    if os.environ.get("GITHUB_ACTIONS") == "true":
        return f"{os.environ['GITHUB_SERVER_URL']}/{os.environ['GITHUB_WORKFLOW_REF']}"
    return "urn:kubesentiment:builder:by-hand"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", required=True)
    parser.add_argument("--commit", required=True)
    parser.add_argument("--sources", required=True, type=Path)
    parser.add_argument("--sums", required=True, type=Path)
    parser.add_argument("--images", default="")
    parser.add_argument("--material", action="append", default=[])
    options = parser.parse_args()

    repository = os.environ.get("REPOSITORY_URL", "").rstrip("/")
    materials = [{"name": "source", "digest": {"gitCommit": options.commit}}]
    if repository:
        materials[0]["uri"] = f"git+{repository}@refs/tags/v{options.version}"
    for name in PINS:
        digest = hashlib.sha256((options.sources / name).read_bytes()).hexdigest()
        materials.append({"name": name, "digest": {"sha256": digest}})
    requirements = (options.sources / PINS[1]).read_text()
    wheel = re.search(r"^onnxruntime==\S+", requirements, re.MULTILINE)[0]
    hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", requirements)
    machine = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
    materials.append({"name": f"{wheel}, the wheel for {os.uname().machine}", "digest": {"sha256": hashes[machine]}})
    for material in options.material:
        name, _, digest = material.rpartition("=")
        algorithm, _, value = digest.partition(":")
        materials.append({"name": name, "digest": {algorithm: value}})

    subjects = [line.split() for line in options.sums.read_text().splitlines()]
    json.dump({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}} for digest, name in subjects],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:kubesentiment:make-release:v1",
                "externalParameters": {"version": options.version, "images": options.images, "repository": repository},
                "resolvedDependencies": materials,
            },
            "runDetails": {"builder": {"id": builder()}},
        },
    }, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
