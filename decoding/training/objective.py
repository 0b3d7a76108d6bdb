"""What drafts are trained for: agreeing with the verifier as far as possible from the left.

Shapes: R rows that are guessed, the rows of a block side by side from the left.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_TEACHER_TOKENS = 64
"""Distillation is towards the verifier's best tokens alone."""


@dataclass(frozen=True, slots=True)
class Objective:
    """How a guess counts.

    A guess is of use only if all left of it in its draft are right. Its weight is how probable
    the drafter makes that, and at least `least_weight`, so that what is out of reach is learned
    before it is within. `teacher` weighs the cross-entropy to the verifier's distribution
    against that to the token that was decoded.
    Source: the active prefix of Nemotron-Labs-Diffusion, arXiv 2607.05722, appendix B, with a
    probability in the place of a yes or no.
    """

    least_weight: float = 0.15
    teacher: float = 0.5

    def __post_init__(self) -> None:
        for name in ("least_weight", "teacher"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be from 0 to 1, not {getattr(self, name)}")

    def loss(
        self, logits_RV: Tensor, teacher_RV: Tensor, targets_R: Tensor, block_R: Tensor
    ) -> Tensor:
        """The mean over the guesses by weight. No gradient flows into weights or teacher."""
        with torch.no_grad():
            best = teacher_RV.topk(min(_TEACHER_TOKENS, teacher_RV.shape[1]), dim=-1)
            told_RK = best.values.float().softmax(-1) * self.teacher
        tokens_RK = torch.cat((targets_R[:, None], best.indices), dim=1)
        shares_RK = torch.cat((torch.full_like(told_RK[:, :1], 1.0 - self.teacher), told_RK), dim=1)
        given = (logits_RV, tokens_RK, shares_RK, block_R, self.least_weight)
        loss: Tensor = _DraftLoss.apply(*given)  # type: ignore[no-untyped-call]
        return loss


class _DraftLoss(torch.autograd.Function):
    """Cross-entropy to a few tokens of each row, whose shares sum to 1, weighted as `Objective`
    says. Its gradient is written out: the library's takes several passes more over all logits."""

    @staticmethod
    def forward(
        ctx: Any,
        logits_RV: Tensor,
        tokens_RK: Tensor,
        shares_RK: Tensor,
        block_R: Tensor,
        least_weight: float,
    ) -> Tensor:
        logprobs_RV = logits_RV.log_softmax(-1, dtype=torch.float32)
        known_RK = logprobs_RV.gather(1, tokens_RK)
        reached_R = reach(known_RK[:, 0], block_R).exp()
        weight_R = least_weight + (1.0 - least_weight) * reached_R
        weight_R = weight_R / weight_R.sum()
        ctx.save_for_backward(logprobs_RV, tokens_RK, shares_RK, weight_R)
        ctx.dtype = logits_RV.dtype
        return -(weight_R[:, None] * shares_RK * known_RK).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        logprobs_RV, tokens_RK, shares_RK, weight_R = ctx.saved_tensors
        grad_RV = logprobs_RV.exp_().scatter_add_(1, tokens_RK, -shares_RK)
        return grad_RV.mul_(weight_R[:, None] * grad).to(ctx.dtype), None, None, None, None


def reach(logprobs_R: Tensor, block_R: Tensor) -> Tensor:
    """For each row the sum over the rows left of it in its block."""
    left_R = logprobs_R.double().cumsum(0) - logprobs_R
    _, count_B = block_R.unique_consecutive(return_counts=True)
    first_B = count_B.cumsum(0) - count_B
    return (left_R - left_R[first_B].repeat_interleave(count_B)).to(logprobs_R.dtype)


def accepted(logits_RV: Tensor, targets_R: Tensor, block_R: Tensor) -> Tensor:
    """For each block, in order, how many guesses from the left are right when all are greedy."""
    wrong_R = (logits_RV.argmax(-1) != targets_R).float()
    right_R = (reach(-wrong_R, block_R) - wrong_R) > -0.5
    _, count_B = block_R.unique_consecutive(return_counts=True)
    number_R = torch.arange(len(count_B), device=block_R.device).repeat_interleave(count_B)
    return torch.zeros(len(count_B), device=block_R.device).index_add_(0, number_R, right_R.float())
