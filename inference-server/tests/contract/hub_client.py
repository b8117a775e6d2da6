"""Asks a server as programs of the Hub's client do: hub_client.py URL KEY"""

import sys

from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError


def main() -> None:
    url, key = sys.argv[1:]
    for address in (url, f"{url}/", f"{url}/predict"):
        client = InferenceClient(model=address, headers={"X-API-Key": key})
        labels = client.text_classification("I love this product")
        assert labels[0].label == "POSITIVE", labels
        assert sorted(element.label for element in labels) == ["NEGATIVE", "NEUTRAL", "POSITIVE"], labels
        assert labels[0].score > 0.5 > labels[1].score, labels
        (only,) = client.text_classification("It is awful", top_k=1)
        assert only.label == "NEGATIVE", only
        raw = client.text_classification("It is awful", function_to_apply="none")
        assert abs(sum(element.score for element in raw) - 1) > 0.01, raw
    try:
        client.text_classification(" ")
    except HfHubHTTPError as error:
        assert error.response.status_code == 400 and "the text is empty" in error.response.text, error.response.text
    else:
        sys.exit("an empty text was taken")
    print("huggingface_hub is well")


if __name__ == "__main__":
    main()
