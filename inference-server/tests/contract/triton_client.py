"""Asks a server as programs of NVIDIA's client do, with its defaults: triton_client.py ADDRESS KEY"""

import sys

import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException


def input_of(texts: list[str], **options) -> http.InferInput:
    tensor = http.InferInput("text", [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode() for text in texts], dtype=object), **options)
    return tensor


# The client adds to the headers that it is given, so each call has its own.


def predictions(client: http.InferenceServerClient, headers: dict) -> None:
    texts = ["I love this product", "It is awful"]
    answer = client.infer("default", [input_of(texts)], headers=dict(headers), request_id="7")
    assert answer.as_numpy("label").tolist() == [b"POSITIVE", b"NEGATIVE"], answer.get_response()
    assert answer.as_numpy("truncated").tolist() == [False, False]
    assert answer.get_response()["model_version"] == "1" and answer.get_response()["id"] == "7"
    scores = answer.as_numpy("score")

    outputs = [http.InferRequestedOutput("probabilities"), http.InferRequestedOutput("score", binary_data=False)]
    answer = client.infer("default", [input_of(texts)], model_version="1", outputs=outputs, headers=dict(headers))
    probabilities = answer.as_numpy("probabilities")
    assert probabilities.shape == (2, 3) and np.allclose(probabilities.max(axis=1), scores), probabilities
    assert np.allclose(answer.as_numpy("score"), scores)

    outputs = [http.InferRequestedOutput("logits", class_count=1)]
    answer = client.infer("default", [input_of(texts[:1], binary_data=False)], outputs=outputs, headers=dict(headers))
    assert answer.as_numpy("logits")[0, 0].endswith(b":2:POSITIVE"), answer.as_numpy("logits")

    for algorithm in ("gzip", "deflate"):
        answer = client.infer("default", [input_of(texts)], request_compression_algorithm=algorithm, headers=dict(headers))
        assert answer.as_numpy("label").tolist() == [b"POSITIVE", b"NEGATIVE"], algorithm
    answer = client.infer("default", [input_of(["fine words " * 40] * 300)], headers=dict(headers))
    assert answer.as_numpy("label").shape == (300,)
    answer = client.async_infer("default", [input_of(texts)], headers=dict(headers)).get_result()
    assert answer.as_numpy("label").tolist() == [b"POSITIVE", b"NEGATIVE"]


def administration(client: http.InferenceServerClient, headers: dict) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("default") and client.is_model_ready("default", "1")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("default", "1", headers=dict(headers))
    assert [output["name"] for output in metadata["outputs"]][:2] == ["label", "score"], metadata
    config = client.get_model_config("default", headers=dict(headers))
    assert config["max_batch_size"] == 0 and config["input"][0]["data_type"] == "TYPE_STRING", config
    index = client.get_model_repository_index(headers=dict(headers))
    assert index == [{"name": "default", "version": "1", "state": "READY", "reason": ""}], index
    for arguments in [(), ("default",), ("default", "1")]:
        (model,) = client.get_inference_statistics(*arguments, headers=dict(headers))["model_stats"]
        assert model["inference_stats"]["success"]["count"] > 300, model
        assert model["inference_stats"]["compute_infer"]["ns"] > 0, model


def errors(client: http.InferenceServerClient, headers: dict) -> None:
    def refused(sentence: str, ask) -> None:
        try:
            ask()
        except InferenceServerException as error:
            assert sentence in error.message(), error
        else:
            sys.exit(f"nothing was refused with {sentence!r}")

    refused("X-API-Key", lambda: client.get_model_metadata("default"))
    refused("no model", lambda: client.get_model_metadata("other", headers=dict(headers)))
    refused("version", lambda: client.get_model_metadata("default", "2", headers=dict(headers)))
    refused("text 1: the text is empty", lambda: client.infer("default", [input_of(["a", ""])], headers=dict(headers)))


def main() -> None:
    address, key = sys.argv[1:]
    client = http.InferenceServerClient(address)
    headers = {"X-API-Key": key}
    predictions(client, headers)
    administration(client, headers)
    errors(client, headers)
    print("tritonclient is well")


if __name__ == "__main__":
    main()
