#!/usr/bin/env python3
"""Every SentimentService in the documentation and the samples fits the CustomResourceDefinition: examples-check.py

Blocks of YAML that are whole objects, or `spec:` alone, or some fields of a spec. It says what a structural schema says: fields that
don't exist, types, bounds, patterns. The rules in CEL are left to the API server (`make api-server`, which applies the whole ones).
Needs PyYAML: scripts/examples-check.sh brings it along.
"""

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
CRD = ROOT / "crds/sentimentservices.kubesentiment.io.yaml"
BLOCK = re.compile(r"^( *)```yaml\n(.*?)^\1```", re.M | re.S)
TYPES = {
    "object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
}


def faults(value, schema, path):
    """What is wrong with a value, a sentence each."""
    if value is None:
        if not schema.get("nullable"):
            yield f"{path} has no value"
        return
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, (int, str)) or isinstance(value, bool):
            yield f"{path} is neither a number nor a string"
        return
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or isinstance(value, bool) and kind != "boolean"):
        yield f"{path} is no {kind}: {value!r}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path} is none of {', '.join(map(str, schema['enum']))}: {value!r}"
    if isinstance(value, dict):
        yield from object_faults(value, schema, path)
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{path} has {len(value)} entries"
        for index, entry in enumerate(value):
            yield from faults(entry, schema.get("items", {}), f"{path}[{index}]")
    elif isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            yield f"{path} has {len(value)} characters"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{path} doesn't match {schema['pattern']}: {value!r}"
    elif kind in ("integer", "number") and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{path} is out of bounds: {value}"


def object_faults(value, schema, path):
    properties, more = schema.get("properties", {}), schema.get("additionalProperties")
    for name in schema.get("required", []):
        if name not in value:
            yield f"{path}.{name} is missing"
    for name, entry in value.items():
        if name in properties:
            yield from faults(entry, properties[name], f"{path}.{name}")
        elif isinstance(more, dict):
            yield from faults(entry, more, f"{path}.{name}")
        elif not schema.get("x-kubernetes-preserve-unknown-fields") and not schema.get("x-kubernetes-embedded-resource") and properties:
            yield f"{path}.{name} isn't there"


def examined(document, root):
    """The faults of a document; None of one that is something else."""
    spec = root["properties"]["spec"]
    if not isinstance(document, dict) or not document:
        return None
    if document.get("kind") == "SentimentService":
        wrong = [f".{name} isn't there" for name in document if name not in ("apiVersion", "kind", "metadata", "spec", "status")]
        version = document.get("apiVersion")
        wrong += [] if version == "kubesentiment.io/v1alpha1" else [f".apiVersion is {version}"]
        wrong += [] if (document.get("metadata") or {}).get("name") else [".metadata.name is missing"]
        return wrong + list(faults(document.get("spec"), spec, ".spec"))
    if "kind" in document:
        return None
    if set(document) == {"spec"}:
        return list(faults(document["spec"], spec, ".spec"))
    if set(document) <= set(spec["properties"]):
        return list(faults(document, spec, ""))
    return None


def selftest(root):
    good = {"apiVersion": "kubesentiment.io/v1alpha1", "kind": "SentimentService", "metadata": {"name": "a"}, "spec": {}}
    assert examined(good, root) == [], examined(good, root)
    assert examined({"kind": "Service"}, root) is None
    for change, word in [
        ({"extra": 1}, "extra"), ({"spec": {"replica": 1}}, "replica"), ({"spec": {"replicas": -1}}, "bounds"),
        ({"spec": {"replicas": "two"}}, "integer"), ({"spec": {"profile": "Prod"}}, "none of"), ({"apiVersion": "v1"}, "apiVersion"),
        ({"metadata": {}}, "name"), ({"spec": {"model": {"source": {"s3": {}}}}}, "missing"),
    ]:
        wrong = examined(good | change, root)
        assert wrong and any(word in fault for fault in wrong), (change, wrong)
    assert examined({"model": {"nam": "a"}}, root), "fields of a spec by themselves"


def documents(path):
    """Line and content of each YAML document of a file."""
    text = path.read_text(encoding="utf-8")
    blocks = [(0, text)] if path.suffix == ".yaml" else [
        (text.count("\n", 0, block.start()) + 1, re.sub(rf"^{block.group(1)}", "", block.group(2), flags=re.M))
        for block in BLOCK.finditer(text)
    ]
    for line, block in blocks:
        for document in yaml.safe_load_all(block):
            yield line + 1, document


def main():
    root = yaml.safe_load(CRD.read_text(encoding="utf-8"))["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    selftest(root)
    # The chart's templates aren't YAML yet, and what is in Chart.yaml is the chart's tests' to see.
    listed = subprocess.run(["git", "ls-files", "*.md", "config/samples/*.yaml"], cwd=ROOT, check=True, capture_output=True, text=True)
    wrong, count = [], 0
    for name in listed.stdout.splitlines():
        try:
            for line, document in documents(ROOT / name):
                found = examined(document, root)
                count += found is not None
                wrong += [f"{name}:{line}: {fault}" for fault in found or []]
        except yaml.YAMLError as error:
            wrong.append(f"{name}: a block isn't YAML: {error}")
    print(*wrong, sep="\n") if wrong else print(f"examples: {count} fit the CustomResourceDefinition")
    return bool(wrong) or not count


if __name__ == "__main__":
    sys.exit(main())
