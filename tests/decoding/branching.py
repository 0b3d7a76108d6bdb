"""Drafters whose drafts branch, on networks that were never trained and think nothing likely."""

import math
from dataclasses import dataclass, replace

from decoding import Decodable, DecodeMode, Engine, Purpose, SelfSpeculation
from decoding.modes.draft import Candidate, Draft, empty_draft, extend_draft
from decoding.modes.drafters import Drafter, Drafting
from decoding.network.base import Network
from decoding.record import Origin
from tests.decoding.soundness import without_times


@dataclass(frozen=True)
class Sure:
    """Denoises, and thinks each candidate half as likely as the one before it."""

    drafter: Drafter

    def fit(self, network: Network) -> Drafter:
        return replace(self, drafter=self.drafter.fit(network))

    def draft(self, sequence: Decodable, block_length: int, threshold: float) -> Drafting:
        draft = yield from self.drafter.draft(sequence, block_length, threshold)
        proposals = tuple(
            tuple(replace(each, logprob=-0.7 * rank) for rank, each in enumerate(ranked, 1))
            for ranked in draft.proposals
        )
        return replace(draft, proposals=proposals)


@dataclass(frozen=True)
class SecondBest:
    """Knows the answer. Says so everywhere but at the first place, where it comes second."""

    answer: tuple[int, ...]

    def fit(self, network: Network) -> Drafter:
        return self

    def draft(self, sequence: Decodable, block_length: int, threshold: float) -> Drafting:
        yield from ()
        behind = self.answer[sequence.length - sequence.num_prompt :][: block_length - 1]
        proposals = [
            (
                Candidate(token, Origin.ACCEPTED, math.log(0.5 if place else 0.4)),
                Candidate((token + 1) % 256, Origin.ACCEPTED, math.log(0.01 if place else 0.5)),
            )
            for place, token in enumerate(behind)
        ]
        if proposals:
            proposals[0] = proposals[0][::-1]
        count = min(len(proposals), sequence.room)
        draft = extend_draft(
            sequence, empty_draft(sequence), count, lambda so_far: proposals[len(so_far)]
        )
        return Draft(draft.guesses, draft.mask_W, draft.is_open, tuple(proposals))


def assert_branches_pay(
    plain: Engine, branching: Engine, prompt: list[int], *, exact: bool = True
) -> None:
    """Branches that are right are committed whole, and nothing of the answer changes; where not
    `exact`, nothing but the last bits of its log-probabilities."""
    right = plain.generate(prompt, max_new_tokens=41)
    count = len(right.token_ids)
    assert count > 10, "choose a prompt with a longer answer"

    def forwards(side_guesses: int) -> int:
        mode: DecodeMode = SelfSpeculation(
            5, SecondBest(right.token_ids), side_guesses=side_guesses
        )
        done = branching.generate(prompt, mode=mode, max_new_tokens=41)
        assert done.token_ids == right.token_ids
        assert not exact or without_times(done) == without_times(right)
        return sum(each.purpose is not Purpose.PREFILL for each in done.forwards)

    assert forwards(0) == count
    assert forwards(1) == -(-count // 2)
    assert forwards(4) == -(-count // 5)
