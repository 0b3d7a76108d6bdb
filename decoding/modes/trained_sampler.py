"""A reveal policy that was trained: a small network judges which guesses are final."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from decoding.errors import WeightsError
from decoding.jsonfile import read_json_object
from decoding.modes.reveal import Block
from decoding.modes.sampler_features import BlockFeatures, Feature
from decoding.modes.sampler_network import SamplerNetwork, SamplerSizes
from decoding.ngrams import NGRAMS, NgramTable
from decoding.weights.embedded import ASSETS
from decoding.weights.embedded import NAME as EMBEDDED
from decoding.weights.files import open_tensors, read_tensor

CONFIG = "sampler_config.json"
WEIGHTS = "sampler.safetensors"
_ADVICE = f"give a folder with {CONFIG} and {WEIGHTS}, as TrainedSampler.save writes it"
_VERSION = 1
_MOST_TOKENS = 2**24
_VECTORS = "token_vectors"
# The network's sizes, and the most of each; more is a damaged file.
_SIZES = {"num_layers": 256, "width": 16_384, "num_heads": 16_384, "feed_forward_width": 65_536}


@dataclass(frozen=True, slots=True, eq=False)
class TrainedSampler:
    """Reveals every masked position whose score reaches the threshold, and the best in any case.

    A score is the probability, as the network sees it, that a position's most probable
    candidate is the one that autoregressive decoding would put there. A higher threshold
    reveals less per forward and more surely: 0 reveals everything at once, 1 in practice one
    position per forward. Source: Nemotron-Labs-Diffusion, arXiv 2607.05722, appendix A.
    """

    network: SamplerNetwork
    features: BlockFeatures
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold must be a probability, not {self.threshold}")
        if self.features.width != self.network.sizes.num_features:
            raise ValueError(
                f"the features are {self.features.width} numbers per position and the network "
                f"reads {self.network.sizes.num_features}"
            )

    @classmethod
    def load(
        cls, directory: str | Path, *, threshold: float = 0.5, device: str = "cpu"
    ) -> "TrainedSampler":
        """Reads `sampler_config.json`, `sampler.safetensors` and, where the sampler looks at
        continuations, `ngrams.safetensors`, as `save` writes them; those of the embedded model by
        its name, "smollm2-135m".

        Raises `WeightsError` naming file and key where something is missing, unknown,
        misshapen or not finite.
        """
        folder = ASSETS / "sampler" if directory == EMBEDDED else Path(directory)
        config = _Config.read(folder / CONFIG)
        tensors = _Tensors(folder / WEIGHTS)
        vectors_VD = tensors.take(_VECTORS, config.vectors) if config.vectors else None
        uses_ngrams = Feature.CONTINUATION in config.features
        ngrams = NgramTable.load(folder / NGRAMS, _MOST_TOKENS) if uses_ngrams else None
        features = BlockFeatures(config.features, vectors_VD, ngrams)
        try:
            sizes = SamplerSizes(features.width, **config.sizes)
        except ValueError as error:
            raise WeightsError(str(error), folder / CONFIG, "num_heads") from None
        with torch.device("meta"):
            network = SamplerNetwork(sizes)
        shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
        state = {key: tensors.take(key, shape) for key, shape in shapes.items()}
        tensors.refuse_others((*state, _VECTORS) if config.vectors else tuple(state))
        if not bool((state["std"] > 0.0).all()):
            raise WeightsError("a standard deviation is not positive", folder / WEIGHTS, "std")
        network.load_state_dict(state, assign=True)
        network.requires_grad_(False)
        return cls(network.eval().to(device), features, threshold)

    def save(self, directory: str | Path, dtype: torch.dtype = torch.float16) -> None:
        """Writes these files, making the folder where there is none. The threshold is not kept.

        Scores change by thousandths in half precision.
        """
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        sizes, vectors_VD = self.network.sizes, self.features.vectors_VD
        config: dict[str, Any] = {
            "version": _VERSION,
            "features": [feature.value for feature in self.features.features],
            **{key: getattr(sizes, key) for key in _SIZES},
        }
        tensors = dict(self.network.state_dict())
        if vectors_VD is not None:
            config["vocab_size"], config["vector_width"] = vectors_VD.shape
            tensors[_VECTORS] = vectors_VD
        text = json.dumps(config, indent=2) + "\n"
        (folder / CONFIG).write_text(text, encoding="utf-8")
        kept = {key: each.detach().to("cpu", dtype).contiguous() for key, each in tensors.items()}
        save_file(kept, folder / WEIGHTS)
        if self.features.ngrams is not None:
            self.features.ngrams.save(folder / NGRAMS)

    def check_vocabulary(self, vocab_size: int, model: str) -> None:
        """Raises `ValueError` for token vectors or continuations made for another model."""
        vectors_VD, ngrams = self.features.vectors_VD, self.features.ngrams
        if ngrams is not None and ngrams.num_tokens > vocab_size:
            raise ValueError(
                f"the sampler knows what follows token {ngrams.num_tokens - 1} and {model} has "
                f"{vocab_size} tokens; load the sampler that was trained with this model"
            )
        if vectors_VD is not None and len(vectors_VD) != vocab_size:
            raise ValueError(
                f"the sampler has vectors for {len(vectors_VD)} tokens and {model} has "
                f"{vocab_size}; load the sampler that was trained with this model"
            )

    def reveal(self, block: Block) -> frozenset[int]:
        scores = self.scores(block)
        best = max(scores, key=scores.__getitem__)
        return frozenset(
            position
            for position, score in scores.items()
            if score >= self.threshold or position == best
        )

    @torch.inference_mode()
    def scores(self, block: Block) -> Mapping[int, float]:
        """A score in [0, 1] for every masked position of the block."""
        features_PC = self.features.extract(block).to(self.network.mean.device)
        scores_P = self.network(features_PC[None])[0].sigmoid().tolist()
        return {position: scores_P[position] for position in block.rankings}


@dataclass(frozen=True, slots=True)
class _Config:
    """What sampler_config.json says. `vectors` is the table's shape, empty for no table."""

    features: tuple[Feature, ...]
    sizes: Mapping[str, int]
    vectors: tuple[int, ...]

    @classmethod
    def read(cls, file: Path) -> "_Config":
        values = read_json_object(file, _ADVICE)
        if values.get("version") != _VERSION:
            raise WeightsError(
                f"the sampler is of version {values.get('version')!r} and this release reads "
                f"version {_VERSION}; take a matching release, or train it again",
                file,
                "version",
            )
        features = _features(values.get("features"), file)
        sizes = {key: _whole(values.get(key), most, file, key) for key, most in _SIZES.items()}
        uses_vectors = any(feature.is_vector for feature in features)
        keys = ("vocab_size", "vector_width") if uses_vectors else ()
        vectors = tuple(_whole(values.get(key), _MOST_TOKENS, file, key) for key in keys)
        return cls(features, sizes, vectors)


def _features(names: object, file: Path) -> tuple[Feature, ...]:
    known = {feature.value: feature for feature in Feature}
    if not isinstance(names, list) or not names or len(names) != len(set(map(str, names))):
        raise WeightsError("features must be a list of different names", file, "features")
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise WeightsError(
                f"the feature {name!r} is not known to this release; it knows {sorted(known)}",
                file,
                "features",
            )
    return tuple(known[name] for name in names)


def _whole(value: object, most: int, file: Path, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise WeightsError(
            f"{key} must be a whole number from 1 to {most}, not {value!r}", file, key
        )
    return value


class _Tensors:
    """The tensors of sampler.safetensors, in float32, checked as they are taken."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._opened = open_tensors(file, _ADVICE)

    def take(self, key: str, shape: tuple[int, ...]) -> Tensor:
        tensor = read_tensor(self._opened, self._file, key, shape, CONFIG).float()
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError("the tensor holds what is not a finite number", self._file, key)
        return tensor

    def refuse_others(self, keys: tuple[str, ...]) -> None:
        """Raises `WeightsError` if there are tensors beside these."""
        extra = sorted(set(self._opened.keys()) - set(keys))
        if extra:
            raise WeightsError(
                f"the network that {CONFIG} describes has no place for the tensor",
                self._file,
                extra[0],
            )
