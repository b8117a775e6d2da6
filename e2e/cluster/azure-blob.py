#!/usr/bin/env python3
"""Puts files into a container of an Azure Blob emulator: azure-blob.py ENDPOINT CONTAINER FOLDER PREFIX

Signs as the emulator's own account, whose key its documentation names. To be run in the node's network, by tests alone.
"""

import base64
import email.utils
import hashlib
import hmac
import pathlib
import sys
import urllib.error
import urllib.request

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def put(endpoint: str, path: str, query: str, body: bytes, headers: dict[str, str]) -> None:
    """https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key"""
    headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06", **headers}
    canonical = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    resource = f"/{ACCOUNT}/{ACCOUNT}{path}" + "".join(
        f"\n{name}:{value}" for name, value in sorted(part.split("=") for part in query.split("&") if part)
    )
    length = str(len(body)) if body else ""
    kind = "application/octet-stream"
    text = f"PUT\n\n\n{length}\n\n{kind}\n\n\n\n\n\n\n{canonical}{resource}"
    signature = base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()
    headers |= {"Authorization": f"SharedKey {ACCOUNT}:{signature}", "Content-Type": kind}
    url = f"{endpoint}/{ACCOUNT}{path}" + (f"?{query}" if query else "")
    urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PUT"), timeout=10)


endpoint, container, folder, prefix = sys.argv[1:]
try:
    put(endpoint, f"/{container}", "restype=container", b"", {})
except urllib.error.HTTPError as error:
    if error.code != 409:  # it is there
        raise
for file in sorted(pathlib.Path(folder).iterdir()):
    put(endpoint, f"/{container}/{prefix}/{file.name}", "", file.read_bytes(), {"x-ms-blob-type": "BlockBlob"})
