"""From a name or a directory to a network and its tokenizer."""

from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from decoding.draft_head import DRAFT_HEAD, HeadParameters
from decoding.errors import WeightsError
from decoding.native.draft_head import NativeDraftHead
from decoding.native.transformer import NativeTransformer, Precision
from decoding.network.numerics import ChooseNumerics, exact_numerics, plain_numerics
from decoding.network.transformer import Transformer
from decoding.ngrams import NGRAMS, NgramTable
from decoding.tokenizer import Tokenizer
from decoding.weights.checkpoint import read_network
from decoding.weights.embedded import ASSETS, embedded_directory, tools_directory
from decoding.weights.embedded import NAME as EMBEDDED
from decoding.weights.embedded import TOOLS_NAME as EMBEDDED_TOOLS
from decoding.weights.native import read_native
from decoding.weights.progress import Progress, Report

__all__ = [
    "DEFAULT_ADAPTER",
    "EMBEDDED",
    "EMBEDDED_TOOLS",
    "Loaded",
    "Precision",
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

    network: Transformer | NativeTransformer
    tokenizer: Tokenizer


def load(
    source: str | Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    adapter: str | Path | None = DEFAULT_ADAPTER,
    numerics: ChooseNumerics = plain_numerics,
    native: Precision | None = None,
    cache_dir: Path | None = None,
    progress: Report | None = None,
) -> Loaded:
    """Loads "smollm2-135m", a Hugging Face directory, or a hub id from the local hub cache.

    "smollm2-135m-tools" is the embedded model with an adapter for calling tools merged into it.

    `adapter` is a sub-folder of the checkpoint with a draft adapter, or the path of a folder
    elsewhere; None is for none. The default one may be absent. `numerics` is `exact_numerics`
    where rows must not depend on what they are computed with. `native` asks for the compiled
    forward of that precision on a CPU, where it was built and can take the network; `dtype` and
    `numerics` are for where it cannot. Raises `WeightsError`, and
    `TypeError` for an adapter that is neither a name nor a path.
    """
    if adapter is not None and not isinstance(adapter, str | Path):
        raise TypeError(
            f"adapter must be the name or path of an adapter folder, or None, not {adapter!r}"
        )
    directory = _directory(source, cache_dir, progress)
    name = str(source)
    home = ASSETS if source in (EMBEDDED, EMBEDDED_TOOLS) else directory
    folder = _adapter_folder(adapter, home)
    network: Transformer | NativeTransformer | None = None
    if native is not None and device.type == "cpu":
        network = read_native(directory, name=name, adapter=folder, precision=native)
    if network is None:
        network = read_network(
            directory, dtype=dtype, device=device, name=name, adapter=folder, numerics=numerics
        )
    if (home / NGRAMS).exists():
        network.ngrams = NgramTable.load(home / NGRAMS, network.vocab_size)
    if (home / DRAFT_HEAD).exists() and isinstance(network, NativeTransformer):
        network.draft_head = _draft_head(home / DRAFT_HEAD, network)
        network.keeps_hidden = True
    tokenizer = Tokenizer.from_directory(directory)
    if tokenizer.vocab_size > network.vocab_size:
        raise WeightsError(
            f"the tokenizer has {tokenizer.vocab_size} tokens and the network "
            f"{network.vocab_size}; the two do not belong together",
            directory,
        )
    if network.mask_token_id in tokenizer.eos_token_ids:
        raise WeightsError(
            f"config.json: mask_token_id {network.mask_token_id} is also a token that ends a "
            "text; give it the id of a token that only masks",
            directory / "config.json",
            "mask_token_id",
        )
    return Loaded(network, tokenizer)


def _draft_head(file: Path, network: NativeTransformer) -> NativeDraftHead:
    parameters = HeadParameters.load(
        file, hidden_size=network.config.hidden_size, vocab_size=network.vocab_size
    )
    try:
        return NativeDraftHead(parameters, network.embedding_VE)
    except ValueError as error:
        raise WeightsError(str(error), file) from None


def _directory(source: str | Path, cache_dir: Path | None, progress: Report | None) -> Path:
    if source == EMBEDDED:
        return embedded_directory(cache_dir, progress)
    if source == EMBEDDED_TOOLS:
        return tools_directory(cache_dir, progress)
    path = Path(source).expanduser()
    if source != "" and path.is_dir():
        return path
    if path.is_file():
        raise WeightsError("a model is a directory, not a file", path)
    try:
        return Path(snapshot_download(str(source), local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        raise WeightsError(
            f"there is no model {str(source)!r}: give {EMBEDDED!r}, {EMBEDDED_TOOLS!r}, the path "
            "of a Hugging Face directory, or the id of a model that is in the local hub cache"
        ) from None


def _adapter_folder(adapter: str | Path | None, home: Path) -> Path | None:
    """The folder asked for, below `home` if it is there."""
    if adapter is None:
        return None
    asked = Path(adapter).expanduser()
    below = home / asked
    if below.is_dir() and below.resolve() != home.resolve():
        return below
    is_there = below.exists() or below.is_symlink()
    if adapter == DEFAULT_ADAPTER and not is_there:
        return None
    if not is_there and asked.is_dir():
        return asked
    found = ""
    if is_there:
        found = ", only the checkpoint itself" if below.is_dir() else ", only a file of that name"
    raise WeightsError(
        f"there is no adapter {str(adapter)!r}{found}: give the name of a sub-folder "
        "of the checkpoint, the path of an adapter folder, or None for no adapter",
        home,
    )
