"""What a trainer teaches an adapter."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from decoding.network.transformer import Transformer
from decoding.training.streams import Packed


class Lesson(Protocol):
    """Draws what a step looks at, says how wrong a network is there, and judges it as a whole."""

    def draw(self, step: int) -> Packed:
        """The same for a step whenever it is taken and by whomever; in host memory."""
        ...

    def loss(self, network: Transformer, packed: Packed) -> tuple[Tensor, Tensor]:
        """What is minimised, and a number that tells how much was right. `network` is the one
        taught, with its adapter; `packed` is on its device."""
        ...

    def judge(self, network: Transformer) -> Mapping[str, float]:
        """How good the network is on what it was not taught, by kind."""
        ...
