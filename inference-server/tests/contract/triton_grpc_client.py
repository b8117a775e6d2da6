"""tritonclient, as it comes from PyPI, against gRPC: triton_client.py ADDRESS KEY MODEL

Every call of its gRPC client that this server answers: health, metadata, configuration, statistics, the index, and
inferences one by one, asynchronous and on a stream.
"""

import queue
import sys

import numpy
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

ADDRESS, KEY, MODEL = sys.argv[1:]
HEADERS = {"x-api-key": KEY}
TEXTS = ["I love this product", "It broke after a week"]
LABELS = ["POSITIVE", "NEGATIVE"]


def check(condition: bool, what: object) -> None:
    if not condition:
        sys.exit(f"Triton's client is broken: {what}")


def inputs(texts: list[str]) -> list[triton.InferInput]:
    tensor = triton.InferInput("text", [len(texts)], "BYTES")
    tensor.set_data_from_numpy(numpy.array([text.encode() for text in texts], dtype=object))
    return [tensor]


def labels(result: triton.InferResult) -> list[str]:
    return [label.decode() for label in result.as_numpy("label")]


def refused(call, status: str, sentence: str) -> None:
    try:
        call()
    except InferenceServerException as error:
        check(error.status() == f"StatusCode.{status}" and sentence in error.message(), error)
    else:
        check(False, f"no error {status}")


def states(client: triton.InferenceServerClient) -> None:
    check(client.is_server_live() and client.is_server_ready() and client.is_model_ready(MODEL), "not ready")
    check(client.get_server_metadata().name == "KubeSentiment", "the server's name")
    refused(lambda: client.get_model_metadata(MODEL), "UNAUTHENTICATED", "x-api-key")
    metadata = client.get_model_metadata(MODEL, headers=HEADERS)
    check([tensor.name for tensor in metadata.inputs] == ["text"], metadata)
    config = client.get_model_config(MODEL, headers=HEADERS, as_json=True)["config"]
    check(config["backend"] == "onnxruntime" and config["input"][0]["data_type"] == "TYPE_STRING", config)
    index = client.get_model_repository_index(headers=HEADERS).models
    check([(model.name, model.state) for model in index] == [(MODEL, "READY")], index)


def inferences(client: triton.InferenceServerClient) -> None:
    result = client.infer(MODEL, inputs(TEXTS), request_id="7", headers=HEADERS)
    check(labels(result) == LABELS and result.get_response().id == "7", result.get_response())
    check(all(0.5 < score <= 1 for score in result.as_numpy("score")), result.as_numpy("score"))
    check(list(result.as_numpy("truncated")) == [False, False], result.as_numpy("truncated"))

    wanted = [triton.InferRequestedOutput("probabilities"), triton.InferRequestedOutput("logits")]
    result = client.infer(MODEL, inputs(TEXTS), outputs=wanted, headers=HEADERS)
    probabilities, logits = result.as_numpy("probabilities"), result.as_numpy("logits")
    check(probabilities.shape == logits.shape == (2, 3), (probabilities.shape, logits.shape))
    softmax = numpy.exp(logits) / numpy.exp(logits).sum(axis=1, keepdims=True)
    check(numpy.allclose(probabilities, softmax, atol=1e-5), (probabilities, softmax))

    answers = queue.Queue()
    for text in TEXTS:
        client.async_infer(MODEL, inputs([text]), lambda result, error: answers.put((result, error)), headers=HEADERS)
    found = [answers.get(timeout=30) for _ in TEXTS]
    check(all(error is None for _, error in found), found)
    check(sorted(labels(result)[0] for result, _ in found) == sorted(LABELS), found)

    refused(lambda: client.infer(MODEL, inputs(TEXTS)), "UNAUTHENTICATED", "x-api-key")
    refused(lambda: client.infer("other", inputs(TEXTS), headers=HEADERS), "NOT_FOUND", "other")
    refused(lambda: client.infer(MODEL, inputs(["good", " "]), headers=HEADERS), "INVALID_ARGUMENT", "text 1: ")


def streams(client: triton.InferenceServerClient) -> None:
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)), headers=HEADERS)
    for number, text in enumerate([*TEXTS, " "]):
        client.async_stream_infer(MODEL, inputs([text]), request_id=str(number), enable_empty_final_response=True)
    for number, label in enumerate(LABELS):
        result, error = answers.get(timeout=30)
        check(error is None, error)
        response = result.get_response()
        check(response.id == str(number) and labels(result) == [label], response)
        check(response.parameters["triton_final_response"].bool_param, response)
    _, error = answers.get(timeout=30)
    check(error is not None and "text 0: the text is empty" in error.message(), error)
    client.stop_stream()


def statistics(client: triton.InferenceServerClient) -> None:
    sums = client.get_inference_statistics(MODEL, headers=HEADERS, as_json=True)["model_stats"][0]
    check(int(sums["inference_stats"]["success"]["count"]) >= 8 and int(sums["inference_count"]) >= 2, sums)


with triton.InferenceServerClient(ADDRESS) as client:
    for part in (states, inferences, streams, statistics):
        part(client)
print("Triton's client is served")
