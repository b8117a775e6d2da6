"""KServe's client, as it comes from PyPI: kserve_client.py HTTP_ADDRESS GRPC_ADDRESS KEY

Its versions 1 and 2 over REST, and gRPC: health, inferences, and errors as its exceptions.
"""

import asyncio
import sys

import grpc
import httpx
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

HTTP, GRPC, KEY = sys.argv[1:]
MODEL = "default"
HEADERS = {"x-api-key": KEY}
TEXTS = ["I love this product", "It broke after a week"]
LABELS = ["POSITIVE", "NEGATIVE"]


def check(condition: bool, what: object) -> None:
    if not condition:
        sys.exit(f"KServe's client is broken: {what}")


def request(texts: list[str]) -> InferRequest:
    tensor = InferInput(name="text", shape=[len(texts)], datatype="BYTES", data=texts)
    return InferRequest(model_name=MODEL, infer_inputs=[tensor], request_id="7")


def labels(response) -> list[str]:
    output = next(output for output in response.outputs if output.name == "label")
    return [label.decode() if isinstance(label, bytes) else label for label in output.data]


async def rest(version: str, body, read) -> None:
    base = f"http://{HTTP}/"
    async with InferenceRESTClient(RESTConfig(protocol=version)) as client:
        # Of version 1 it asks for liveness at /, which answers with what KubeSentiment 1 had there.
        check(version == "v1" or await client.is_server_live(base), "not alive")
        check(await client.is_model_ready(base, MODEL, headers=HEADERS), "not ready")
        answer = await client.infer(base, body, MODEL, headers=HEADERS)
        check(read(answer) == LABELS, answer)
        for headers, model, status in [({}, MODEL, 401), (HEADERS, "other", 404)]:
            try:
                await client.infer(base, body, model, headers=headers)
            except httpx.HTTPStatusError as error:
                # The client reads the sentence out of the field that this protocol has for it.
                check(error.response.status_code == status and not str(error).startswith(","), error)
            else:
                check(False, f"no error {status}")


async def calls() -> None:
    client = InferenceGRPCClient(GRPC)
    metadata = [("x-api-key", KEY)]
    check(await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready(MODEL), "gRPC")
    response = await client.infer(request(TEXTS), headers=metadata)
    check(labels(response) == LABELS and response.id == "7", response)
    try:
        await client.infer(request(TEXTS))
    except grpc.RpcError as error:
        check(error.code() == grpc.StatusCode.UNAUTHENTICATED, error)
    else:
        check(False, "no error without a key")
    await client.close()


async def main() -> None:
    await rest("v1", {"instances": TEXTS}, lambda answer: [one["label"] for one in answer["predictions"]])
    await rest("v2", request(TEXTS), labels)
    await calls()
    print("KServe's client: versions 1 and 2 over REST, and gRPC")


asyncio.run(main())
