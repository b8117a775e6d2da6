#!/usr/bin/env python3
"""Makes a bundle for the Operator Lifecycle Manager of the manifests of a release:

    olm_bundle.py --version VERSION --time EPOCH --dest FOLDER [--repository URL] <OBJECTS

OBJECTS are those of config/default as JSON, one after the other. Admission policies aren't among what OLM installs, so they
are left out. Files are written in JSON, which is YAML. Its icon is the playground's.
"""

import argparse
import base64
import json
import sys
from datetime import datetime, timezone
from pathlib import Path

NAME = "kubesentiment-operator"
ICON = Path(__file__).parents[2] / "inference-server/src/http/playground/icon.svg"
# Beside the operator itself: OLM installs these as they are.
AS_THEY_ARE = {"Service", "PodDisruptionBudget", "NetworkPolicy"}
EXAMPLE = {"apiVersion": "kubesentiment.io/v1alpha1", "kind": "SentimentService", "metadata": {"name": "reviews"}, "spec": {}}
DESCRIPTION = """KubeSentiment serves sentiment analysis on Kubernetes. You apply a `SentimentService`; the operator turns it into hardened pods \
behind a Service, puts back what somebody changes, and says in one sentence why when something fails. Your users send a text over HTTP or \
gRPC and get a label and a score.

The operator's admission policies aren't part of what OLM installs: apply `config/admission` of the release's manifests, with the namespace \
of the operator in them."""


def objects(text):
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        document, at = decoder.raw_decode(text, at)
        yield document
        while at < len(text) and text[at].isspace():
            at += 1


def service_version(options, by_kind):
    """The ClusterServiceVersion: what OLM makes the operator, its account and its permissions of."""
    deployment = by_kind["Deployment"][NAME]
    definition = by_kind["CustomResourceDefinition"]["sentimentservices.kubesentiment.io"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    server = next(variable["value"] for variable in container["env"] if variable["name"] == "DEFAULT_IMAGE")
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    created = datetime.fromtimestamp(options.time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    def rules(kind, name):
        return {"serviceAccountName": account, "rules": by_kind[kind][name]["rules"]}

    return {
        "apiVersion": "operators.coreos.com/v1alpha1",
        "kind": "ClusterServiceVersion",
        "metadata": {
            "name": f"{NAME}.v{options.version}",
            "annotations": {
                "alm-examples": json.dumps([EXAMPLE]),
                "capabilities": "Seamless Upgrades",
                "categories": "AI/Machine Learning",
                "containerImage": container["image"],
                "createdAt": created,
                "description": "Turns SentimentServices into hardened, observable inference services",
                **({"repository": options.repository} if options.repository else {}),
            },
        },
        "spec": {
            "displayName": "KubeSentiment",
            "description": DESCRIPTION,
            "icon": [{"base64data": base64.b64encode(ICON.read_bytes()).decode(), "mediatype": "image/svg+xml"}],
            "version": options.version,
            "maturity": "alpha",
            "minKubeVersion": "1.33.0",
            "provider": {"name": "KubeSentiment"},
            "keywords": ["inference", "sentiment-analysis", "text-classification", "onnx"],
            "links": [{"name": "Repository", "url": options.repository}] if options.repository else [],
            "relatedImages": [{"name": "operator", "image": container["image"]}, {"name": "server", "image": server}],
            "installModes": [{"type": mode, "supported": mode == "AllNamespaces"}
                             for mode in ("OwnNamespace", "SingleNamespace", "MultiNamespace", "AllNamespaces")],
            "customresourcedefinitions": {"owned": [{
                "name": definition["metadata"]["name"],
                "kind": definition["spec"]["names"]["kind"],
                "version": next(version["name"] for version in definition["spec"]["versions"] if version["storage"]),
                "displayName": "SentimentService",
                "description": "Texts go in over HTTP or gRPC, labels and scores come out",
            }]},
            "install": {"strategy": "deployment", "spec": {
                "deployments": [{"name": NAME, "label": deployment["metadata"]["labels"], "spec": deployment["spec"]}],
                "clusterPermissions": [rules("ClusterRole", NAME)],
                "permissions": [rules("Role", f"{NAME}-leader")],
            }},
        },
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", required=True)
    parser.add_argument("--time", required=True, type=int)
    parser.add_argument("--dest", required=True, type=Path)
    parser.add_argument("--repository", default="")
    options = parser.parse_args()

    by_kind = {}
    for document in objects(sys.stdin.read()):
        document["metadata"].pop("namespace", None)
        by_kind.setdefault(document["kind"], {})[document["metadata"]["name"]] = document

    files = {"manifests/kubesentiment-operator.clusterserviceversion.yaml": service_version(options, by_kind)}
    for name, definition in by_kind["CustomResourceDefinition"].items():
        files[f"manifests/{name}.crd.yaml"] = definition
    for kind in AS_THEY_ARE:
        for name, document in by_kind[kind].items():
            files[f"manifests/{name}.{kind.lower()}.yaml"] = document
    for name in (f"{NAME}-editor", f"{NAME}-viewer"):
        files[f"manifests/{name}.clusterrole.yaml"] = by_kind["ClusterRole"][name]
    labels = {
        "operators.operatorframework.io.bundle.mediatype.v1": "registry+v1",
        "operators.operatorframework.io.bundle.manifests.v1": "manifests/",
        "operators.operatorframework.io.bundle.metadata.v1": "metadata/",
        "operators.operatorframework.io.bundle.package.v1": NAME,
        "operators.operatorframework.io.bundle.channels.v1": "alpha",
        "operators.operatorframework.io.bundle.channel.default.v1": "alpha",
    }
    files["metadata/annotations.yaml"] = {"annotations": labels}
    for name, document in files.items():
        path = options.dest / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=2) + "\n")
    lines = ["FROM scratch", *(f"LABEL {name}={value}" for name, value in labels.items()), "COPY manifests /manifests/", "COPY metadata /metadata/"]
    (options.dest / "bundle.Dockerfile").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
