"""The command: reads, prepares, checks, writes, reports."""

import argparse
import hashlib
import pathlib
import sys
import tempfile

import onnx
from google.protobuf.message import DecodeError
from onnx import helper

from . import gains, int8, texts
from .folder import QUANTIZED, Source
from .graph import Graph, Refused
from .probe import open_session
from .trial import Trial
from .weights import Weights, save

DESCRIPTION = """\
Prepares an ONNX text classifier for sentiment-server, which serves it without as well.

Weights move to a file beside the graph, where ONNX Runtime maps them: of a table of embeddings only those rows are in
memory that texts have. For models of BERT's kind (BERT, DistilBERT, RoBERTa, XLM-R, CamemBERT, ELECTRA, ALBERT, MPNet)
a second graph over the same weights is written, MODEL.varlen, which takes a batch without padding.
With --int8 the weights are quantized first.

What is written is checked on texts: both graphs have to answer what the model answers.
"""

EPILOG = """\
exit codes:
  0  prepared
  1  the model can't be read, or not be quantized; nothing is written
  2  wrong arguments
  3  prepared, but its batches will be padded: the first node that is in the way is named
  4  the int8 model answers otherwise too often; nothing is written

examples:
  prepare-model my-model                        in place; also my-model/onnx/model.onnx
  prepare-model my-model --int8                 writes my-model/model_quantized.onnx, which the server prefers
  prepare-model my-model --int8 --output out    leaves my-model as it is, and writes a folder to serve
"""

PADDED, ANSWERS_OTHERWISE = 3, 4


def arguments(given: list[str] | None) -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        "prepare-model", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=pathlib.Path, metavar="MODEL", help="an ONNX file, or a folder with one")
    parser.add_argument("--int8", action="store_true", help="quantize a float32 model's weights; input stays as it is")
    parser.add_argument(
        "-o", "--output", type=pathlib.Path, metavar="FOLDER", help="write a folder to serve there, not beside MODEL"
    )
    parser.add_argument(
        "--texts",
        type=pathlib.Path,
        metavar="FILE",
        help="texts to check with, one a line, as yours are (default: 32 built in)",
    )
    parser.add_argument(
        "--agreement",
        type=float,
        default=0.9,
        metavar="SHARE",
        help="labels that int8 has to keep, of texts that tokenizer.json reads (default: %(default)s)",
    )
    parser.add_argument("--no-figures", action="store_true", help="don't measure texts a second")
    asked = parser.parse_args(given)
    # A pipe is as good as a file: it is read once.
    if asked.texts is not None and (not asked.texts.exists() or asked.texts.is_dir()):
        parser.error(f"--texts: there is no file {asked.texts}")
    return asked


def main(given: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    asked = arguments(given)
    try:
        source = Source.find(asked.model, asked.int8)
        # With weights that are in a file beside it already.
        original = onnx.load(source.file)
    except (OSError, ValueError, DecodeError, onnx.checker.ValidationError) as problem:
        what = "it is a Git LFS pointer: `git lfs pull` fetches the file" if is_pointer(asked.model) else problem
        print(f"{asked.model} can't be read as an ONNX model: {what}", file=sys.stderr)
        return 1
    folder = asked.output or source.file.parent
    folder.mkdir(parents=True, exist_ok=True)
    name = source.file.name if not asked.int8 else QUANTIZED if asked.output is None else "model.onnx"
    try:
        with tempfile.TemporaryDirectory(prefix=".prepare-model-", dir=folder) as work:
            return prepare(asked, source, original, folder / name, pathlib.Path(work))
    except Refused as problem:
        print(f"{source.file}: {problem}", file=sys.stderr)
        return 1


def is_pointer(path: pathlib.Path) -> bool:
    """Whether this is what stands for a large file in Git, or a folder with one."""
    files = [path] if path.is_file() else [*path.glob("*.onnx"), *path.glob("onnx/*.onnx")]
    return any(file.open("rb").read(20).startswith(b"version https://git") for file in files)


def prepare(
    asked: argparse.Namespace, source: Source, original: onnx.ModelProto, to: pathlib.Path, work: pathlib.Path
) -> int:
    """Prepares a model in a folder to work in, and moves what came of it to where it belongs."""
    before, old = source.size(), source.weights()
    model, first = original, None
    if asked.int8:
        int8.refuse_what_is_no_float(Graph(original))
        first = stored(int8.without_notes(original), work, "float.onnx")
        model = int8.quantize(first, work / "int8.onnx", before)
    weights, file = Weights(model), stored(model, work, to.name)
    trial, varlen = tried(source, model, weights, file, texts.samples(asked.texts))
    figures: list[str] = []
    if trial is None and first:
        print("the answers of int8 weren't compared")
    if trial is not None:
        quantized = (Graph(original), first) if first else None
        kept = trial.compare_with(*quantized) if quantized else 1.0
        print("\n".join(trial.lines))
        if kept < asked.agreement and trial.are_read:
            less = f"less than --agreement {asked.agreement:g}: nothing is written"
            print(f"of the labels {kept:.0%} are as before, {less}")
            return ANSWERS_OTHERWISE
        figures = [] if asked.no_figures else trial.figures(quantized)
    if asked.output is not None:
        source.copy_rest(to.parent)
    write(to, file, weights, varlen)
    after = to.stat().st_size + weights.size
    print(f"{to}: {gains.size(after)}, of which {gains.size(weights.size)} are mapped; {gains.size(before)} before")
    if varlen is not None:
        print(f"{to}.varlen: {len(varlen.graph.node)} nodes in place of {len(model.graph.node)}")
    if asked.output is None and not asked.int8 and (unread := old - {f"{to.name}.data"}):
        print(f"no longer read: {', '.join(sorted(unread))}")
    if figures:
        print("\n".join(figures))
    return PADDED if varlen is None else 0


def tried(
    source: Source, model: onnx.ModelProto, weights: Weights, file: pathlib.Path, samples: list[str]
) -> tuple[Trial | None, onnx.ModelProto | None]:
    """A model under trial, and its graph without padding; None for what it doesn't get to."""
    try:
        open_session(file)
    except Exception as problem:
        raise Refused(f"ONNX Runtime doesn't load it: {problem}") from problem
    trial = None
    try:
        trial = Trial.of(source, model, weights, file, samples)
        return trial, trial.without_padding()
    except Refused as problem:
        print(f"batches of it will be padded: {problem}")
        return trial, None


def stored(model: onnx.ModelProto, work: pathlib.Path, name: str) -> pathlib.Path:
    """A file of a model with its weights beside it."""
    weights = Weights(model)
    with open(work / f"{name}.data", "wb") as data:
        weights.write(data)
    (work / name).write_bytes(weights.mapped(model, f"{name}.data").SerializeToString())
    return work / name


def write(to: pathlib.Path, file: pathlib.Path, weights: Weights, varlen: onnx.ModelProto | None) -> None:
    """Puts the files where they belong, each as a whole."""
    out = to.with_name(f"{to.name}.varlen")
    # First, so that it never stands beside another model's weights.
    out.unlink(missing_ok=True)
    data = to.with_name(f"{to.name}.data")
    if weights.places:
        file.with_name(data.name).replace(data)
    file.replace(to)
    if varlen is not None:
        helper.set_model_props(varlen, {"made_of_sha256": hashlib.sha256(to.read_bytes()).hexdigest()})
        contents = weights.mapped(varlen, data.name).SerializeToString()
        save(out, lambda into: into.write(contents))
