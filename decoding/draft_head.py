"""A small recurrent head that guesses the next tokens by the vector behind the last one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from decoding.errors import WeightsError
from decoding.ngrams import Continuation

DRAFT_HEAD = "draft_head.safetensors"
"""The file's name in the folder of a checkpoint."""

_GROUP = 32  # widths are multiples, as the compiled head reads them


class DraftHead(Protocol):
    """Guesses without a forward, at a few hundredths of the cost of one."""

    def guess(
        self, hidden_E: NDArray[np.float32], token: int, count: int, least: float = 0.0
    ) -> tuple[Continuation, ...]:
        """The tokens that follow `token`, which was picked from a row whose vector before the
        output head is `hidden_E`: `count` of them, at least 1, or fewer, up to the first that the
        head itself gives a lower probability than `least`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class HeadParameters:
    """Weights of a head (shapes: K its width, C the tokens it can guess, E the network's width).

    With e(t) the network's embedding of a token, and a state z that begins as `hidden_KE` h:

        z = hidden_KE h + hidden_bias_K + token_KE e(t1)        x = silu(rms_norm(z) norm_K)
        z = state_KK x + state_bias_K + token_KE e(t2)          and so on

    The scores of the tokens `tokens_C` are e(tokens_C) projection_EK x + output_bias_C.

    Sources: Medusa, arXiv 2401.10774 (heads on the last vector); Hydra, arXiv 2402.05109 (which
    see the tokens guessed before).
    """

    tokens_C: Tensor
    hidden_KE: Tensor
    hidden_bias_K: Tensor
    token_KE: Tensor
    state_KK: Tensor
    state_bias_K: Tensor
    norm_K: Tensor
    projection_EK: Tensor
    output_bias_C: Tensor

    @property
    def width(self) -> int:
        return len(self.norm_K)

    def save(self, file: Path) -> None:
        """Numbers in half precision."""
        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__}
        save_file(
            {
                name: (each.int() if name == "tokens_C" else each.half()).contiguous()
                for name, each in arrays.items()
            },
            file,
            metadata={"format": "pt"},
        )

    @classmethod
    def load(cls, file: Path, *, hidden_size: int, vocab_size: int) -> "HeadParameters":
        """Raises `WeightsError` for a file that `save` did not write, or not for such a network."""
        try:
            arrays = load_file(file)
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"no draft head: {error}", file) from error
        for name in cls.__dataclass_fields__:
            if name not in arrays:
                raise WeightsError(f"must hold {name}", file, name)
        kept = {name: arrays[name].float() for name in cls.__dataclass_fields__}
        kept["tokens_C"] = arrays["tokens_C"].long()
        sizes = {"K": kept["norm_K"].numel(), "C": kept["tokens_C"].numel(), "E": hidden_size}
        for name, each in kept.items():
            shape = tuple(sizes[letter] for letter in name.rsplit("_", 1)[1])
            if tuple(each.shape) != shape:
                raise WeightsError(f"{name} is {tuple(each.shape)}, not {shape}", file, name)
            if not bool(each.isfinite().all()):
                raise WeightsError(f"{name} has numbers that are not finite", file, name)
        if sizes["K"] % _GROUP or not sizes["C"]:
            raise WeightsError(f"a head's width must be a multiple of {_GROUP}", file, "norm_K")
        tokens_C = kept["tokens_C"]
        if not 0 <= int(tokens_C.min()) <= int(tokens_C.max()) < vocab_size:
            raise WeightsError(f"a token is not below {vocab_size}", file, "tokens_C")
        return cls(**kept)


def scores_weight(parameters: HeadParameters, embedding_VE: Tensor) -> Tensor:
    """`output_CK`, what the state is multiplied with for the scores."""
    return embedding_VE[parameters.tokens_C].float() @ parameters.projection_EK


def states(parameters: HeadParameters, hidden_NE: Tensor, embedded_NDE: Tensor) -> list[Tensor]:
    """The states x behind each of D tokens, `[N, K]` each: the equations above, for training and
    as what a faster head is compared with."""
    found: list[Tensor] = []
    for depth in range(embedded_NDE.shape[1]):
        before_NK = (
            hidden_NE @ parameters.hidden_KE.T + parameters.hidden_bias_K
            if not found
            else found[-1] @ parameters.state_KK.T + parameters.state_bias_K
        )
        z_NK = before_NK + embedded_NDE[:, depth] @ parameters.token_KE.T
        normed_NK = torch.nn.functional.rms_norm(z_NK, (parameters.width,), parameters.norm_K, 1e-5)
        found.append(torch.nn.functional.silu(normed_NK))
    return found
