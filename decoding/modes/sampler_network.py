"""The network of a trained sampler: a small transformer over the positions of a block.

Every position sees all others. Norms come before attention and feed-forward layer, positions
are rotary, queries and keys are normalised. Shapes: B blocks, P positions of a block, C numbers
per position, E width, H heads, D head width. Source: Nemotron-Labs-Diffusion, arXiv 2607.05722,
appendix A.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from decoding.network.rope import Rope, RotaryEmbedding, Rotation


@dataclass(frozen=True, slots=True)
class SamplerSizes:
    """The defaults are the paper's: 4.8 million parameters over 144 numbers per position."""

    num_features: int
    num_layers: int = 4
    width: int = 384
    num_heads: int = 6
    feed_forward_width: int = 768

    def __post_init__(self) -> None:
        for name in ("num_features", "num_layers", "width", "num_heads", "feed_forward_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.width % (2 * self.num_heads):
            raise ValueError(
                f"width {self.width} must be an even multiple of num_heads {self.num_heads}"
            )


class SamplerNetwork(nn.Module):
    """Standardises the numbers by `mean` and `std`, then scores each position of each block."""

    mean: Tensor
    std: Tensor

    def __init__(self, sizes: SamplerSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.register_buffer("mean", torch.zeros(sizes.num_features))
        self.register_buffer("std", torch.ones(sizes.num_features))
        self.input = nn.Linear(sizes.num_features, sizes.width)
        self.layers = nn.ModuleList(_Layer(sizes) for _ in range(sizes.num_layers))
        self.norm = nn.LayerNorm(sizes.width)
        self.output = nn.Linear(sizes.width, 1)

    def forward(self, features_BPC: Tensor) -> Tensor:
        """Logits [B, P] of the probability that a position's best candidate is final there."""
        head_width = self.sizes.width // self.sizes.num_heads
        place_P = torch.arange(features_BPC.shape[1], device=features_BPC.device)
        rotary = RotaryEmbedding(Rope(), head_width, features_BPC.device)
        rotation = rotary.at(place_P, features_BPC.dtype)
        hidden_BPE = self.input((features_BPC - self.mean) / self.std)
        for layer in self.layers:
            hidden_BPE = layer(hidden_BPE, rotation)
        logits_BP: Tensor = self.output(self.norm(hidden_BPE)).squeeze(-1)
        return logits_BP


class _Layer(nn.Module):
    def __init__(self, sizes: SamplerSizes) -> None:
        super().__init__()
        head_width = sizes.width // sizes.num_heads
        self._num_heads = sizes.num_heads
        self.attention_norm = nn.LayerNorm(sizes.width)
        self.qkv = nn.Linear(sizes.width, 3 * sizes.width)
        self.query_norm = nn.RMSNorm(head_width)
        self.key_norm = nn.RMSNorm(head_width)
        self.output = nn.Linear(sizes.width, sizes.width)
        self.feed_forward_norm = nn.LayerNorm(sizes.width)
        self.up = nn.Linear(sizes.width, sizes.feed_forward_width)
        self.down = nn.Linear(sizes.feed_forward_width, sizes.width)

    def forward(self, hidden_BPE: Tensor, rotation: Rotation) -> Tensor:
        heads_BP3HD = self.qkv(self.attention_norm(hidden_BPE)).unflatten(
            -1, (3, self._num_heads, -1)
        )
        queries_BPHD, keys_BPHD, values_BPHD = heads_BP3HD.unbind(2)
        seen_BHPD = F.scaled_dot_product_attention(
            rotation.turn(self.query_norm(queries_BPHD)).transpose(1, 2),
            rotation.turn(self.key_norm(keys_BPHD)).transpose(1, 2),
            values_BPHD.transpose(1, 2),
        )
        hidden_BPE = hidden_BPE + self.output(seen_BHPD.transpose(1, 2).flatten(2))
        inner_BPE: Tensor = F.gelu(self.up(self.feed_forward_norm(hidden_BPE)))
        out_BPE: Tensor = hidden_BPE + self.down(inner_BPE)
        return out_BPE
