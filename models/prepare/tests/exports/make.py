"""Makes the models beside it: python3 make.py STYLE FAMILY...

Random ones of one layer, exported as people's models are, each with answers of PyTorch's. STYLE is how:
old      torch 2.1.2, transformers 4.36.2, onnx 1.15: TorchScript, attention as written out, opset 14
optimum  torch 2.6.0, transformers 4.51.3, optimum 1.24.0, onnx 1.17: TorchScript, attention by PyTorch's own function
         (scaled_dot_product_attention), opset 14
dynamo   torch 2.15.0, transformers 5.24.0, onnxscript 0.7.2: torch.export, attention by that function, opset 18
onnx     as dynamo, opset 23, which has attention as one operator
FAMILY is of FAMILIES below. tokenizer.json is for all of them. Each style needs its own packages, so this is run once
in each environment, without network (HF_HUB_OFFLINE=1). Then each is prepared, and some of them once more as int8:
    python3 -m prepare_model --no-figures FAMILY-STYLE
    python3 -m prepare_model --no-figures --int8 --output FAMILY-int8 FAMILY-STYLE
"""

import json
import pathlib
import sys

import onnx
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

HERE = pathlib.Path(__file__).parent
WORDS = 40
SIZES = {
    "vocab_size": WORDS,
    "num_hidden_layers": 1,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 34,
    "num_labels": 3,
}
DISTILBERT = {"n_layers": 1, "dim": 16, "n_heads": 2, "hidden_dim": 24}
FAMILIES = {
    "bert": {},
    "distilbert": DISTILBERT,
    "roberta": {"pad_token_id": 1, "type_vocab_size": 1},
    "xlm-roberta": {"pad_token_id": 1, "type_vocab_size": 1},
    "mpnet": {"pad_token_id": 1},
    "electra": {"embedding_size": 8},
}
WITH_TYPES = ("bert", "electra")


def build(family: str, **more) -> torch.nn.Module:
    sizes = {name: size for name, size in SIZES.items() if family != "distilbert" or name not in distinct()}
    torch.manual_seed(7)
    config = AutoConfig.for_model(family, **sizes, **FAMILIES[family])
    model = AutoModelForSequenceClassification.from_config(config, **more).eval()
    with torch.no_grad():
        for name, weights in model.named_parameters():
            # Larger than at the start of a training, so that tokens matter to each other.
            is_scale = "norm.weight" in name.lower().replace("_", "")
            weights.normal_(1.0 if is_scale else 0.0, 0.1 if is_scale else 0.4)
    return model


def distinct() -> set[str]:
    """What DistilBERT calls otherwise."""
    return {"num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size"}


def export(style: str, model: torch.nn.Module, names: list[str], file: pathlib.Path) -> None:
    ids = torch.randint(5, WORDS, (2, 9))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    inputs = {name: given[name] for name in names}
    named = {"input_names": names, "output_names": ["logits"]}
    if style == "old":
        axes = {name: {0: "batch_size", 1: "sequence_length"} for name in names}
        torch.onnx.export(
            model, (inputs,), str(file), opset_version=14, dynamic_axes={**axes, "logits": {0: "batch_size"}}, **named
        )
    elif style == "optimum":
        from optimum.exporters.onnx import onnx_export_from_model

        folder = file.parent / "optimum"
        onnx_export_from_model(model, folder, task="text-classification", opset=14)
        (folder / "model.onnx").rename(file)
        for other in folder.iterdir():
            other.unlink()
        folder.rmdir()
    else:
        sides = {0: torch.export.Dim("batch", min=1, max=64), 1: torch.export.Dim("sequence", min=2, max=32)}
        torch.onnx.export(
            model,
            (),
            str(file),
            kwargs=inputs,
            opset_version=23 if style == "onnx" else 18,
            dynamo=True,
            external_data=False,
            dynamic_shapes=dict.fromkeys(names, sides),
            **named,
        )
        forget_where_it_was_made(file)


def forget_where_it_was_made(file: pathlib.Path) -> None:
    """Each node says which lines of which file of the machine made it, which is three quarters of the whole."""
    model = onnx.load(file)
    for part in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        del part.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
    onnx.save(model, file)


def answers(model: torch.nn.Module) -> list[dict]:
    random = torch.Generator().manual_seed(3)
    found = []
    for length in (3, 1, 24, 9, 30, 2, 17):
        ids = torch.randint(5, WORDS, (1, length), generator=random)
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        found.append({"ids": ids[0].tolist(), "logits": [round(value, 6) for value in logits[0].tolist()]})
    return found


def tokenizer() -> dict:
    """Words that are numbers, one for each id."""
    names = ["[PAD]", "<pad>", "[CLS]", "[UNK]", "[SEP]"]
    words = {word: index for index, word in enumerate([*names, *map(str, range(len(names), WORDS))])}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"},
    }


def lines(rows: list[dict]) -> str:
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"


def main() -> None:
    style, *families = sys.argv[1:]
    (HERE / "tokenizer.json").write_text(json.dumps(tokenizer()) + "\n")
    for family in families:
        folder = HERE / f"{family}-{style}"
        folder.mkdir(exist_ok=True)
        model = build(family)
        model.config._name_or_path = family
        names = ["input_ids", "attention_mask", *(["token_type_ids"] if family in WITH_TYPES else [])]
        export(style, model, names, folder / "model.onnx")
        config = {name: getattr(model.config, name) for name in ("model_type", "pad_token_id")}
        config["max_position_embeddings"] = SIZES["max_position_embeddings"]
        config["id2label"] = {str(index): name for index, name in enumerate(("bad", "fair", "good"))}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        (folder / "answers.json").write_text(lines(answers(model)))
        print(f"{folder.name}: {(folder / 'model.onnx').stat().st_size} bytes")


if __name__ == "__main__":
    main()
