"""From a name or a directory to a network and its tokenizer."""

from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from decoding.errors import WeightsError
from decoding.network.transformer import Transformer
from decoding.tokenizer import Tokenizer
from decoding.weights.checkpoint import read_network
from decoding.weights.embedded import NAME as EMBEDDED
from decoding.weights.embedded import embedded_directory
from decoding.weights.progress import Progress, Report

__all__ = ["EMBEDDED", "Loaded", "Progress", "Report", "load"]


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
    cache_dir: Path | None = None,
    progress: Report | None = None,
) -> Loaded:
    """Loads "smollm2-135m", a Hugging Face directory, or a hub id from the local hub cache.

    Raises `WeightsError`.
    """
    directory = _directory(source, cache_dir, progress)
    network = read_network(directory, dtype=dtype, device=device, name=str(source))
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
