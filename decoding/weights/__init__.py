"""From a name or a directory to a network and its tokenizer."""

from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from decoding.errors import WeightsError
from decoding.network.numerics import ChooseNumerics, exact_numerics, plain_numerics
from decoding.network.transformer import Transformer
from decoding.tokenizer import Tokenizer
from decoding.weights.checkpoint import read_network
from decoding.weights.embedded import ASSETS, embedded_directory
from decoding.weights.embedded import NAME as EMBEDDED
from decoding.weights.progress import Progress, Report

__all__ = [
    "DEFAULT_ADAPTER",
    "EMBEDDED",
    "Loaded",
    "Progress",
    "Report",
    "exact_numerics",
    "load",
    "plain_numerics",
]

DEFAULT_ADAPTER = "linear_spec_lora"
"""Where Nemotron-Labs-Diffusion checkpoints keep their draft adapter."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network and the tokenizer that came with it."""

    network: Transformer
    tokenizer: Tokenizer


def load(
    source: str | Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    adapter: str | Path | None = DEFAULT_ADAPTER,
    numerics: ChooseNumerics = plain_numerics,
    cache_dir: Path | None = None,
    progress: Report | None = None,
) -> Loaded:
    """Loads "smollm2-135m", a Hugging Face directory, or a hub id from the local hub cache.

    `adapter` is a sub-folder of the checkpoint with a draft adapter, or the path of a folder
    elsewhere; None is for none. The default one may be absent. `numerics` is `exact_numerics`
    where rows must not depend on what they are computed with. Raises `WeightsError`.
    """
    directory = _directory(source, cache_dir, progress)
    network = read_network(
        directory,
        dtype=dtype,
        device=device,
        name=str(source),
        adapter=_adapter_folder(adapter, ASSETS if source == EMBEDDED else directory),
        numerics=numerics,
    )
    tokenizer = Tokenizer.from_directory(directory)
    if tokenizer.vocab_size > network.vocab_size:
        raise WeightsError(
            f"the tokenizer has {tokenizer.vocab_size} tokens and the network "
            f"{network.vocab_size}; the two do not belong together",
            directory,
        )
    return Loaded(network, tokenizer)


def _directory(source: str | Path, cache_dir: Path | None, progress: Report | None) -> Path:
    if source == EMBEDDED:
        return embedded_directory(cache_dir, progress)
    path = Path(source).expanduser()
    if source != "" and path.is_dir():
        return path
    if path.is_file():
        raise WeightsError("a model is a directory, not a file", path)
    try:
        return Path(snapshot_download(str(source), local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        raise WeightsError(
            f"there is no model {str(source)!r}: give {EMBEDDED!r}, the path of a Hugging Face "
            "directory, or the id of a model that is in the local hub cache"
        ) from None


def _adapter_folder(adapter: str | Path | None, home: Path) -> Path | None:
    """The folder asked for, below `home` if it is there."""
    if adapter is None:
        return None
    asked = Path(adapter).expanduser()
    if (home / asked).is_dir():
        return home / asked
    if adapter == DEFAULT_ADAPTER:
        return None
    if asked.is_dir():
        return asked
    raise WeightsError(
        f"there is no adapter {str(adapter)!r}: give the name of a sub-folder of the checkpoint, "
        "the path of an adapter folder, or None for no adapter",
        home,
    )
