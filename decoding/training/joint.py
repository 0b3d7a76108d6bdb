"""Trains all weights for both ways of decoding: the joint objective of the model family.

    loss = next-token loss on the text + alpha * denoising loss on blocks of it

Both come from the two streams of `decoding.training.streams`, the text's differentiated, too. A
block's positions are masked with one probability p per answer, and a masked position counts
1 / p. Source: Nemotron-Labs-Diffusion, arXiv 2607.05722, section 3; the losses are over answers
only, as in its supervised stage.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from safetensors.torch import save_file
from torch import Tensor

from decoding.errors import UnsupportedMode
from decoding.network.config import NetworkConfig
from decoding.network.transformer import LayerParameters, Parameters, Transformer
from decoding.training.answers import Answer
from decoding.training.blocks import Block
from decoding.training.streams import Example, Packed, TextStream, read_blocks, read_text

_LEAST = 1e-3  # of a masking probability


@dataclass(frozen=True, slots=True)
class JointTraining:
    """How all weights are trained. `alpha` weighs the denoising loss."""

    alpha: float = 0.3
    block_length: int = 16
    learning_rate: float = 1e-5
    weight_decay: float = 0.1
    max_gradient: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class JointLoss:
    """Both parts of a step's loss, per token of the answers; `total` is what is minimised."""

    next_token: Tensor
    denoising: Tensor
    total: Tensor


def noised(answer: Answer, block_length: int, random: Random) -> tuple[Example, float]:
    """The answer in blocks side by side, each position masked with the probability returned."""
    share = (1.0 - _LEAST) * random.random() + _LEAST
    first, end = len(answer.prompt), len(answer.text)
    blocks = []
    for start in range(first, end, block_length):
        stop = min(start + block_length, end)
        masked = frozenset(at for at in range(start, stop) if random.random() < share)
        if masked:
            blocks.append(Block(start, stop, masked))
    return Example(answer.text, tuple(blocks)), share


class JointTrainer:
    """Owns the weights of a network that has a mask token of its own, in float32.

    Raises `ValueError` for a network without one (the mask is a token of the vocabulary here) and
    `UnsupportedMode` for one with sliding windows or norms on queries and keys.
    """

    def __init__(self, network: Transformer, config: JointTraining) -> None:
        if network.mask_token_id is None or network.mask_token_id >= network.vocab_size:
            raise ValueError(
                f"{network.name} names no mask token; set mask_token_id in its config.json to a "
                "token that no text uses"
            )
        if network.windows != {None} or network.config.qk_norm:
            raise UnsupportedMode(
                "joint training", network.name, "windows and norms of queries are not supported"
            )
        self._mask = network.mask_token_id
        self.config = config
        self.network = _learning(network)
        self._optimiser = torch.optim.AdamW(
            _tensors(self.network.parameters),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
        )
        self.step = 0

    def learn(self, answers: Sequence[Answer]) -> JointLoss:
        """One step on the answers."""
        random = Random(self.config.seed * 1_000_003 + self.step)
        loss = self.loss(answers, random)
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(_tensors(self.network.parameters), self.config.max_gradient)
        self._optimiser.step()
        self._optimiser.zero_grad()
        self.step += 1
        return loss

    def loss(self, answers: Sequence[Answer], random: Random) -> JointLoss:
        noisy = [noised(answer, self.config.block_length, random) for answer in answers]
        packed = Packed.of(
            [example for example, _ in noisy],
            self.network.device,
            text_learns=True,
        )
        text = read_text(self.network, packed)
        num_tokens = sum(len(answer.tokens) for answer in answers)
        next_token = self._next_token(packed, text.text_CE, answers) / num_tokens
        denoising = self._denoising(packed, text, noisy) / num_tokens
        return JointLoss(next_token, denoising, next_token + self.config.alpha * denoising)

    def _next_token(self, packed: Packed, text_CE: Tensor, answers: Sequence[Answer]) -> Tensor:
        rows: list[int] = []
        for place, answer in zip(packed.layout.texts, answers, strict=True):
            rows += range(place.start + len(answer.prompt) - 1, place.stop - 1)
        rows_R = torch.tensor(rows, device=self.network.device)
        logits_RV = self.network.read(text_CE, rows_R)
        return F.cross_entropy(logits_RV, packed.text_C[rows_R + 1], reduction="sum")

    def _denoising(
        self, packed: Packed, text: TextStream, noisy: Sequence[tuple[Example, float]]
    ) -> Tensor:
        if not any(example.blocks for example, _ in noisy):  # by chance nothing is masked
            return text.text_CE.new_zeros(())
        mask_E = self.network.parameters.embedding_VE[self._mask]
        blocks_NE = read_blocks(self.network, packed, text, mask_E)
        logits_RV = self.network.read(blocks_NE, packed.rows_R)
        loss_R = F.cross_entropy(logits_RV, packed.targets_R, reduction="none")
        shares = [share for example, share in noisy for _ in example.blocks]
        shares_B = torch.tensor(shares, device=self.network.device)
        return (loss_R / shares_B[packed.block_R]).sum()

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on."""
        weights = [each.detach() for each in _tensors(self.network.parameters)]
        return {"weights": weights, "optimiser": self._optimiser.state_dict(), "step": self.step}

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        for tensor, kept in zip(_tensors(self.network.parameters), state["weights"], strict=True):
            tensor.copy_(kept)
        self._optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]

    def save(self, directory: Path, dtype: torch.dtype = torch.bfloat16) -> None:
        """Writes model.safetensors as the family lays it out; the configuration is the base's."""
        directory.mkdir(parents=True, exist_ok=True)
        named = _named(self.network.parameters, self.network.config)
        kept = {key: each.detach().to("cpu", dtype).contiguous() for key, each in named.items()}
        save_file(kept, directory / "model.safetensors", metadata={"format": "pt"})


def _tensors(parameters: Parameters) -> list[Tensor]:
    """Each once; a tied head is part of the embedding."""
    found = [parameters.embedding_VE, parameters.norm_E]
    for layer in parameters.layers:
        found += [each for each in _fields(layer).values() if each is not None]
    if parameters.head_VE.is_leaf:
        found.append(parameters.head_VE)
    return found


def _fields(layer: LayerParameters) -> dict[str, Tensor | None]:
    return {name: getattr(layer, name) for name in LayerParameters.__slots__}


def _learning(network: Transformer) -> Transformer:
    """The network over float32 copies of its weights that require a gradient."""

    def leaf(tensor: Tensor) -> Tensor:
        return tensor.float().clone().requires_grad_()

    given = network.parameters
    layers = tuple(
        replace(
            layer, **{name: leaf(each) for name, each in _fields(layer).items() if each is not None}
        )
        for layer in given.layers
    )
    embedding_VE = leaf(given.embedding_VE)
    tied = network.config.tied_head
    head_VE = embedding_VE[: network.vocab_size] if tied else leaf(given.head_VE)
    parameters = Parameters(embedding_VE, layers, leaf(given.norm_E), head_VE)
    return Transformer(network.config, parameters, network.name)


def _named(parameters: Parameters, config: NetworkConfig) -> dict[str, Tensor]:
    heads, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    named = {
        "model.embed_tokens.weight": parameters.embedding_VE,
        "model.norm.weight": parameters.norm_E,
    }
    if not config.tied_head:
        named["lm_head.weight"] = parameters.head_VE
    for index, layer in enumerate(parameters.layers):
        prefix = f"model.layers.{index}."
        named[f"{prefix}input_layernorm.weight"] = layer.attention_norm_E
        named[f"{prefix}post_attention_layernorm.weight"] = layer.mlp_norm_E
        for kind in ("weight", "bias"):
            suffix = "" if kind == "weight" else "_bias"
            fused = {
                "self_attn.q self_attn.k self_attn.v": getattr(layer, f"qkv{suffix}"),
                "self_attn.o": getattr(layer, f"output{suffix}"),
                "mlp.gate mlp.up": getattr(layer, f"gate_up{suffix}"),
                "mlp.down": getattr(layer, f"down{suffix}"),
            }
            for names, tensor in fused.items():
                if tensor is not None:
                    parts = _parts(tensor, names.split(), heads, keys)
                    named |= {f"{prefix}{name}_proj.{kind}": part for name, part in parts.items()}
    return named


def _parts(tensor: Tensor, names: Sequence[str], heads: int, keys: int) -> dict[str, Tensor]:
    """A fused projection's own ones."""
    widths = [heads, keys, keys] if len(names) == 3 else [len(tensor) // len(names)] * len(names)
    return dict(zip(names, tensor.split(widths), strict=True))
