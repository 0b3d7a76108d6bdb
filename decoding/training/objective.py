"""What drafts are trained for: agreeing with the verifier as far as possible from the left.

Shapes: R rows that are guessed, the rows of a block side by side from the left.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

_TEACHER_TOKENS = 64
"""The verifier's best tokens count in distillation, the others as one."""


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
        logprobs_RV = logits_RV.float().log_softmax(-1)
        picked_R = logprobs_RV.gather(1, targets_R[:, None])[:, 0]
        reached_R = reach(picked_R.detach(), block_R).exp()
        weight_R = self.least_weight + (1.0 - self.least_weight) * reached_R
        loss_R = -picked_R
        if self.teacher > 0.0:
            told_R = _cross_entropy(logprobs_RV, teacher_RV)
            loss_R = (1.0 - self.teacher) * loss_R + self.teacher * told_R
        return (weight_R * loss_R).sum() / weight_R.sum()


def reach(logprobs_R: Tensor, block_R: Tensor) -> Tensor:
    """For each row the sum over the rows left of it in its block."""
    left_R = logprobs_R.double().cumsum(0) - logprobs_R
    _, count_B = block_R.unique_consecutive(return_counts=True)
    first_B = count_B.cumsum(0) - count_B
    return (left_R - left_R[first_B].repeat_interleave(count_B)).to(logprobs_R.dtype)


def _cross_entropy(logprobs_RV: Tensor, teacher_RV: Tensor) -> Tensor:
    told_RV = teacher_RV.float().softmax(-1)
    best = told_RV.topk(min(_TEACHER_TOKENS, told_RV.shape[1]), dim=-1)
    others_R = 1.0 - best.values.sum(-1)
    known_RK = logprobs_RV.gather(1, best.indices)
    unknown_R = torch.log1p(-known_RK.exp().sum(-1).clamp(max=1.0 - 1e-6))
    return -(best.values * known_RK).sum(-1) - others_R.clamp(min=0.0) * unknown_R


def accepted(logits_RV: Tensor, targets_R: Tensor, block_R: Tensor) -> Tensor:
    """For each block, in order, how many guesses from the left are right when all are greedy."""
    wrong_R = (logits_RV.argmax(-1) != targets_R).float()
    right_R = (reach(-wrong_R, block_R) - wrong_R) > -0.5
    _, count_B = block_R.unique_consecutive(return_counts=True)
    number_R = torch.arange(len(count_B), device=block_R.device).repeat_interleave(count_B)
    return torch.zeros(len(count_B), device=block_R.device).index_add_(0, number_R, right_R.float())


def next_token_loss(logits_CV: Tensor, text_C: Tensor, texts: tuple[slice, ...]) -> Tensor:
    """The autoregressive half of joint training: every row of a text against the next token."""
    rows = [row for text in texts for row in range(text.start, text.stop - 1)]
    rows_R = torch.tensor(rows, device=text_C.device)
    return F.cross_entropy(logits_CV[rows_R].float(), text_C[rows_R + 1])
