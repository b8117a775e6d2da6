"""A client of KubeSentiment 1.5, by its documentation: version1_client.py ADDRESS KEY PART…

It knows the documented routes, fields, types, headers and errors, and nothing of what came later: fields that it
doesn't know are fine, fields that are missing or of another type are not.
"""

import json
import sys
import time
import urllib.error
import urllib.request
import uuid

ADDRESS, KEY, *PARTS = sys.argv[1:]
PREFIX = "/api/v1"

NUMBER = (int, float)
TEXT_OR_NONE = (str, type(None))
NUMBER_OR_NONE = (int, float, type(None))


class Answer:
    def __init__(self, status: int, headers, body: bytes) -> None:
        self.status, self.headers, self.text = status, headers, body.decode()

    def json(self) -> dict:
        return json.loads(self.text)


def call(method: str, path: str, body: dict | None = None, headers: dict | None = None, key: str = KEY) -> Answer:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(ADDRESS + path, data=data, method=method)
    for name, value in {"Content-Type": "application/json", "X-API-Key": key, **(headers or {})}.items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def check(condition: bool, what: object) -> None:
    if not condition:
        sys.exit(f"version 1's client is broken: {what}")


def expect(answer: Answer, status: int, shape: dict) -> dict:
    check(answer.status == status, f"status {answer.status} in place of {status}: {answer.text}")
    body = answer.json()
    has_shape(body, shape, "body")
    return body


def has_shape(value: object, shape: object, where: str) -> None:
    if isinstance(shape, dict):
        check(isinstance(value, dict), f"{where} is {value!r}")
        for name, inner in shape.items():
            check(name in value, f"{where}.{name} is missing in {value}")
            has_shape(value[name], inner, f"{where}.{name}")
    elif isinstance(shape, list):
        check(isinstance(value, list) and value, f"{where} is {value!r}")
        for index, item in enumerate(value):
            has_shape(item, shape[0], f"{where}[{index}]")
    elif isinstance(shape, set):
        check(value in shape, f"{where} is {value!r}, not one of {shape}")
    else:
        # JSON has true and false, which Python takes for numbers.
        fits = isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
        check(fits, f"{where} is {value!r}, not {shape}")


PREDICTION = {
    "label": {"POSITIVE", "NEGATIVE"}, "prediction_id": str, "score": float, "inference_time_ms": NUMBER,
    "model_name": str, "text_length": int, "backend": {"onnx"}, "cached": bool, "features": type(None),
}
ERROR = {"error_code": str, "error_message": str, "detail": str, "correlation_id": str, "timestamp": float}


def predict() -> None:
    answer = call("POST", f"{PREFIX}/predict", {"text": "I love this product"}, {"X-Correlation-ID": "order-4711"})
    body = expect(answer, 200, PREDICTION)
    check(body["label"] == "POSITIVE" and 0.5 < body["score"] <= 1, body)
    check(body["text_length"] == 19, body)
    check(uuid.UUID(body["prediction_id"]).version == 4, body)
    check(float(answer.headers["X-Inference-Time-MS"]) == body["inference_time_ms"], answer.headers)
    check(answer.headers["X-Model-Backend"] == "onnx", answer.headers)
    check(answer.headers["X-Correlation-ID"] == "order-4711", answer.headers)
    again = expect(call("POST", f"{PREFIX}/predict", {"text": "I love this product"}), 200, PREDICTION)
    check(again["cached"] and again["score"] == body["score"], again)


def errors() -> None:
    problems = {**ERROR, "error_code": {"E1001"}, "validation_errors": [{"loc": list, "msg": str, "type": str}]}
    for bad in ({}, {"text": ""}, {"text": "   "}, {"text": 5}, {"text": "a" * 10_001}):
        answer = call("POST", f"{PREFIX}/predict", bad)
        body = expect(answer, 422, problems)
        check(body["correlation_id"] == answer.headers["X-Correlation-ID"], body)
    answer = call("POST", f"{PREFIX}/predict", {"text": "a" * 513})
    check(400 <= answer.status < 500, f"a text that is too long is a {answer.status}")
    body = expect(answer, answer.status, ERROR)
    check(body["error_code"].startswith("E1") and "validation_errors" not in body, body)
    for key in ("", "wrong"):
        body = expect(call("POST", f"{PREFIX}/predict", {"text": "a"}, key=key), 401, ERROR)
        check(body["error_code"].startswith("E3"), body)


def health() -> None:
    # None of these asks for the key.
    root = expect(call("GET", "/", key=""), 200, {
        "service": str, "version": str, "status": {"operational"}, "docs_url": str, "health_url": str})
    check(call("GET", root["docs_url"], key="").status == 200, root)
    expect(call("GET", root["health_url"], key=""), 200, {
        "status": {"healthy"}, "model_status": {"available"}, "version": str, "backend": {"onnx"}, "timestamp": float})
    expect(call("GET", f"{PREFIX}/health/details", key=""), 200, {
        "status": str, "version": str, "timestamp": float,
        "dependencies": [{"component_name": str, "details": {"status": str, "error": TEXT_OR_NONE}}]})
    expect(call("GET", f"{PREFIX}/ready", key=""), 200, {"status": {"ready"}})
    metrics = call("GET", f"{PREFIX}/metrics", key="")
    check(metrics.status == 200 and metrics.headers["Content-Type"].startswith("text/plain"), metrics.headers)
    check('sentiment_requests_total{endpoint="/api/v1/predict"' in metrics.text, metrics.text)
    expect(call("GET", f"{PREFIX}/model-info"), 200, {
        "model_name": str, "backend": {"onnx"}, "model_path": str, "model_file": str, "execution_providers": [str],
        "is_loaded": {True}, "is_quantized": bool, "is_optimized": bool, "max_text_length": int, "cache_enabled": bool,
        "cache_size": int, "cache_maxsize": int, "onnx_intra_op_threads": int, "onnx_inter_op_threads": int,
        "onnx_execution_mode": str, "tokenizer_is_fast": bool})


JOB = {
    "job_id": str, "status": {"pending", "processing", "completed", "failed", "cancelled", "expired"},
    "total_texts": int, "estimated_completion_seconds": NUMBER_OR_NONE, "created_at": float,
    "priority": {"low", "medium", "high"}, "progress_percentage": NUMBER,
}


def batch() -> None:
    texts = [f"I love number {index}" if index % 2 else f"Number {index} is awful" for index in range(25)]
    job = expect(call("POST", f"{PREFIX}/batch/predict", {"texts": texts, "priority": "high"}), 200, JOB)
    check(job["total_texts"] == 25 and job["priority"] == "high", job)
    deadline = time.monotonic() + 30
    while True:
        status = expect(call("GET", f"{PREFIX}/batch/status/{job['job_id']}"), 200, {
            **JOB, "processed_texts": int, "failed_texts": int, "started_at": NUMBER_OR_NONE,
            "completed_at": NUMBER_OR_NONE, "error": TEXT_OR_NONE})
        if status["status"] not in ("pending", "processing"):
            break
        check(time.monotonic() < deadline, status)
        time.sleep(0.05)
    check(status["status"] == "completed" and status["processed_texts"] == 25, status)
    check(status["progress_percentage"] == 100, status)
    found = []
    for page in (1, 2, 3):
        results = expect(call("GET", f"{PREFIX}/batch/results/{job['job_id']}?page={page}&page_size=10"), 200, {
            "job_id": str, "results": [{"label": str, "score": NUMBER}], "total_results": int, "page": int,
            "page_size": int, "has_more": bool,
            "summary": {"total_texts": int, "successful_predictions": int, "failed_predictions": int,
                        "success_rate": NUMBER}})
        check(results["total_results"] == 25 and results["has_more"] == (page < 3), results)
        found += [result["label"] for result in results["results"]]
    check(found == ["POSITIVE" if index % 2 else "NEGATIVE" for index in range(25)], found)

    doomed = expect(call("POST", f"{PREFIX}/batch/predict", {"texts": texts * 40, "priority": "low"}), 200, JOB)
    cancelled = expect(call("DELETE", f"{PREFIX}/batch/jobs/{doomed['job_id']}"), 200, {
        "message": str, "job_id": str, "status": {"cancelled"}})
    check(cancelled["job_id"] == doomed["job_id"], cancelled)
    expect(call("GET", f"{PREFIX}/batch/status/{uuid.uuid4()}"), 404, {**ERROR, "error_code": str})
    expect(call("POST", f"{PREFIX}/batch/predict", {"texts": []}), 422, ERROR)

    expect(call("GET", f"{PREFIX}/batch/metrics"), 200, {
        "total_jobs": int, "active_jobs": int, "completed_jobs": int, "failed_jobs": int,
        "average_processing_time_seconds": NUMBER, "average_throughput_tps": NUMBER, "queue_size": int,
        "average_batch_size": NUMBER, "processing_efficiency": NUMBER})
    expect(call("GET", f"{PREFIX}/batch/queue/status"), 200, {
        "queues": {"high_priority": int, "medium_priority": int, "low_priority": int, "total": int},
        "timestamp": float, "service_status": str})


def insight() -> None:
    prediction = expect(call("POST", f"{PREFIX}/predict", {"text": "A wonderful lamp"}), 200, PREDICTION)
    expect(call("POST", f"{PREFIX}/feedback", {
        "prediction_id": prediction["prediction_id"], "corrected_label": "NEGATIVE", "comments": "it broke",
    }), 201, {"status": {"success"}, "message": str, "prediction_id": {prediction["prediction_id"]}})
    body = {"prediction_id": prediction["prediction_id"], "corrected_label": "GREAT"}
    expect(call("POST", f"{PREFIX}/feedback", body), 422, ERROR)
    expect(call("POST", f"{PREFIX}/explain", {
        "text": "A wonderful lamp", "prediction": prediction["label"], "confidence": prediction["score"],
        "use_attention": True, "use_gradients": False}), 200, {
            "text": {"A wonderful lamp"}, "prediction": {prediction["label"]}, "confidence": float,
            "token_attributions": [{"token": str, "attribution": NUMBER}]})
    expect(call("GET", f"{PREFIX}/monitoring/drift"), 200, {"drift_detected": type(None), "features": dict})


for part in PARTS:
    globals()[part]()
    print(f"{part}: as documented")
