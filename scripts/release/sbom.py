#!/usr/bin/env python3
"""Makes one CycloneDX document of all that a program or an image holds.

    sbom.py --name NAME --version VERSION --time EPOCH --sources FOLDER --crates FILE... \\
      [--image ARCHIVE] [--base NAME=DIGEST] [--onnxruntime REQUIREMENTS] [--model FOLDER]

The crates are what `cargo cyclonedx` wrote of each program in FOLDER. The rest is read where it is: Debian's packages, ONNX
Runtime and the model in the image itself. The same input gives the same document. Needs nothing but Python.
"""

import argparse
import hashlib
import json
import re
import sys
import tarfile
import uuid
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

RUNTIME = "app/lib/libonnxruntime.so"
PACKAGES = "var/lib/dpkg/status.d/"
RELEASE = "usr/lib/os-release"


def sha256(digest):
    return [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}]


def fields(text):
    """Lines `Name: value` or `NAME=value`; those of a longer value begin with a space."""
    pairs = (re.match(r"([A-Za-z_-]+)(?:: |=)(.*)", line) for line in text.splitlines())
    return {pair[1]: pair[2].strip('"') for pair in pairs if pair}


def files_of(archive):
    """What is looked for in the layers of an image, by path; ONNX Runtime by its digest."""
    found = {}
    with tarfile.open(archive) as tar:
        def blob(digest):
            return tar.extractfile("blobs/sha256/" + digest.removeprefix("sha256:"))

        index = json.load(tar.extractfile("index.json"))
        manifest = json.load(blob(index["manifests"][0]["digest"]))
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=blob(layer["digest"]), mode="r|*") as content:
                for entry in content:
                    path = entry.name.removeprefix("./").removeprefix("/")
                    if not entry.isfile():
                        continue
                    if path == RUNTIME:
                        found[path] = hashlib.file_digest(content.extractfile(entry), "sha256").hexdigest()
                    elif path == RELEASE or (path.startswith(PACKAGES) and not path.endswith(".md5sums")):
                        found[path] = content.extractfile(entry).read().decode()
    return found


def debian(files):
    """The packages of a distroless image, each in a file of its own, and the system that they are of."""
    release = fields(files[RELEASE])
    yield {"type": "operating-system", "bom-ref": "os", "name": release["ID"], "version": release["VERSION_ID"]}
    for path in sorted(path for path in files if path.startswith(PACKAGES)):
        package = fields(files[path])
        name, version, architecture = package["Package"], package["Version"], package["Architecture"]
        distribution = f"{release['ID']}-{release['VERSION_ID']}"
        purl = f"pkg:deb/{release['ID']}/{quote(name)}@{quote(version, safe='')}?arch={architecture}&distro={distribution}"
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def onnxruntime(requirements, files):
    pin = re.search(r"^onnxruntime==(\S+)", requirements.read_text(), re.MULTILINE)
    purl = f"pkg:pypi/onnxruntime@{pin[1]}"
    return {"type": "library", "bom-ref": purl, "name": "onnxruntime", "version": pin[1], "purl": purl,
            "licenses": [{"license": {"id": "MIT"}}], "hashes": sha256(files[RUNTIME])}


def model(folder, version):
    lines = (line.split() for line in (folder / "SHA256SUMS").read_text().splitlines())
    parts = [{"type": "file", "bom-ref": f"model/{name}", "name": name, "hashes": sha256(digest)} for digest, name in lines]
    return {"type": "machine-learning-model", "bom-ref": "model", "name": folder.name, "version": version,
            "licenses": [{"license": {"id": "Apache-2.0"}}], "components": sorted(parts, key=lambda part: part["name"])}


def parts_of(described):
    """A package and its program. `cargo cyclonedx` gives both one reference, and so all programs of a package."""
    name = described["purl"].removeprefix("pkg:cargo/").partition("@")[0]
    package = {**described, "type": "library", "name": name, "purl": f"pkg:cargo/{name}@{described['version']}"}
    return package, {"type": "application", "bom-ref": f"program/{described['name']}", "name": described["name"], "version": described["version"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--time", required=True, type=int)
    parser.add_argument("--sources", required=True)
    parser.add_argument("--crates", required=True, nargs="+", type=Path)
    parser.add_argument("--image", type=Path)
    parser.add_argument("--base")
    parser.add_argument("--onnxruntime", type=Path)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()

    components, dependencies, tools = {}, {}, {}
    programs = []
    for file in options.crates:
        # Where the sources lay while this was made is nobody's business.
        crates = json.loads(file.read_text().replace(options.sources, ""))
        package, program = parts_of(crates["metadata"]["component"])
        programs.append(program["bom-ref"])
        dependencies[program["bom-ref"]] = {package["bom-ref"]}
        tools.update({tool["name"]: tool for tool in crates["metadata"]["tools"]})
        components.update({component["bom-ref"]: component for component in [package, program, *crates["components"]]})
        for dependency in crates["dependencies"]:
            dependencies.setdefault(dependency["ref"], set()).update(dependency.get("dependsOn", []))

    whole = f"{options.name}@{options.version}"
    found = list(programs)
    if options.image:
        files = files_of(options.image)
        others = list(debian(files))
        name, _, digest = options.base.rpartition("=")
        others.append({"type": "container", "bom-ref": "base", "name": name, "hashes": sha256(digest)})
        if options.onnxruntime:
            others.append(onnxruntime(options.onnxruntime, files))
        if options.model:
            others.append(model(options.model, options.version))
        components.update({component["bom-ref"]: component for component in others})
        found += [component["bom-ref"] for component in others]
    dependencies[whole] = set(found)

    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(options.time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": [tools[name] for name in sorted(tools)],
            "component": {"type": "container" if options.image else "application", "bom-ref": whole, "name": options.name,
                          "version": options.version, "licenses": [{"license": {"id": "Apache-2.0"}}]},
        },
        "components": [components[ref] for ref in sorted(components)],
        "dependencies": [{"ref": ref, "dependsOn": sorted(dependencies[ref])} for ref in sorted(dependencies)],
    }
    text = json.dumps(document, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, text)}"
    json.dump(document, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
