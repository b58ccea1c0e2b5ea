"""Convert a saved model between our bundle and the layouts that other programs read."""

import warnings
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from bioacoustics.models.bundle import Header
from bioacoustics.models.published_beats import write_beats
from bioacoustics.models.published_weights import write_fairseq, write_hugging_face
from bioacoustics.models.saved import read_bundle, write_bundle

Target = Literal["bioacoustics", "fairseq", "huggingface", "beats"]


class ConvertConfig(BaseModel, frozen=True, extra="forbid"):
    """What `convert` needs to know."""

    model_path: Path = Field(
        description="model to convert: ours, a fairseq or BEATs checkpoint or a Hugging Face folder"
    )
    output_path: Path = Field(description=".pt or .safetensors file; a folder for huggingface")
    to: Target = Field(default="bioacoustics", description="layout to write")
    licence: str | None = Field(
        default=None,
        min_length=1,
        description="licence of your weights, such as CC-BY-4.0, to be kept in the file; those of the models "
        "that they began from stay beside it",
    )


def convert(model_path: Path, output_path: Path, to: Target, licence: str | None = None) -> Header:
    """Write the model at `model_path`, in any layout that `load_encoder` reads, to `output_path` in another.

    Weights keep their precision. What the other layout cannot hold is said in warnings, and nothing else is
    lost: there and back again gives equal weights and settings.

    Args:
        model_path: the model to convert.
        output_path: a `.pt` or `.safetensors` file for "bioacoustics", a `.pt` file for "fairseq" (EAT)
            and "beats", a folder for "huggingface" (EAT). A file that is there is replaced.
        to: the layout to write.
        licence: of weights that this package trained, as their maker chooses.

    Returns:
        The header of the model that was read.

    Raises:
        FileNotFoundError: if there is no model at `model_path`.
        ValueError: if it cannot be read, or `output_path` does not suit the layout, or the layout the model.
        OSError: if it cannot be written.
    """
    _check_output(model_path, output_path, to)
    bundle = read_bundle(model_path)
    if licence is not None:
        if bundle.header.card is None and bundle.header.source is not None:
            raise ValueError(
                f"{model_path} was published, not trained by this package, so that its licence is not yours "
                "to choose; leave --licence out"
            )
        bundle = bundle.with_card(bundle.header.known_card.model_copy(update={"licence": licence}))
    source = bundle.header.source
    if source is not None and source.dropped:
        warnings.warn(f"{model_path}: not carried along: {', '.join(source.dropped)}", stacklevel=2)
    match to:
        case "bioacoustics":
            write_bundle(bundle, output_path)
        case "fairseq":
            write_fairseq(bundle, output_path)
        case "beats":
            write_beats(bundle, output_path)
        case "huggingface":
            write_hugging_face(bundle, output_path)
    return bundle.header


def _check_output(model_path: Path, output_path: Path, to: Target) -> None:
    suffixes = (".pt", ".safetensors") if to == "bioacoustics" else (".pt",)
    if to == "huggingface":
        if output_path.is_file() or output_path.suffix in {".pt", ".safetensors"}:
            raise ValueError(f"{output_path}: a Hugging Face model is a folder; give a folder's name")
    elif output_path.suffix not in suffixes or output_path.is_dir():
        raise ValueError(f"{output_path}: give the name of a file that ends in {' or '.join(suffixes)}")
    if model_path.exists() and output_path.exists() and output_path.samefile(model_path):
        raise ValueError(
            f"{output_path}: the result would replace the model it is made of; give another name"
        )
    if not output_path.absolute().parent.is_dir():
        raise FileNotFoundError(f"{output_path}: the folder {output_path.absolute().parent} does not exist")
