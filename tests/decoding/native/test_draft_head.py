"""The draft head on the compiled kernels guesses what its equations say."""

import ctypes
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decoding import Autoregressive, HeadDrafter, SelfSpeculation
from decoding.draft_head import scores_weight, states
from decoding.engine import Profile
from decoding.native.draft_head import NativeDraftHead
from decoding.native.transformer import NativeTransformer, Precision
from tests.decoding.batches import Part, forward_batch
from tests.decoding.embedded import embedded_engine
from tests.decoding.native.networks import CONFIGS, random_network
from tests.decoding.test_draft_head import HIDDEN, VOCAB, random_head


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), token=st.integers(0, VOCAB - 1), count=st.integers(1, 5))
def test_every_guess_is_nearly_the_best(
    build: ctypes.CDLL, seed: int, token: int, count: int
) -> None:
    head, embedding_VE = random_head(seed, candidates=33), torch.randn(VOCAB, HIDDEN)
    hidden_E = torch.randn(HIDDEN).numpy()
    guesser = NativeDraftHead(head, embedding_VE, build)
    guessed = guesser.guess(hidden_E, token, count)
    assert len(guessed) == count
    assert guesser.guess(hidden_E.copy(), token, count) == guessed
    read = torch.tensor([[token, *(each.token for each in guessed[:-1])]])
    found = states(head, torch.from_numpy(hidden_E)[None], embedding_VE[read])
    output_CK = scores_weight(head, embedding_VE)
    for x_NK, one in zip(found, guessed, strict=True):
        scores_C = x_NK[0] @ output_CK.T + head.output_bias_C
        place = head.tokens_C.tolist().index(one.token)
        spread = scores_C.max() - scores_C.min()
        assert scores_C[place] >= scores_C.max() - 0.05 * spread


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), least=st.floats(0.0, 1.0), count=st.integers(1, 6))
def test_guesses_end_behind_the_first_that_is_not_sure_enough(
    build: ctypes.CDLL, seed: int, least: float, count: int
) -> None:
    """Asked anew and after each other, with weights so small that no token is much better."""
    plain = random_head(seed, candidates=8)
    head = replace(plain, projection_EK=plain.projection_EK * 0.01)
    guesser = NativeDraftHead(head, torch.randn(VOCAB, HIDDEN), build)
    hidden_E = torch.randn(HIDDEN).numpy()
    all_of_them = guesser.guess(hidden_E.copy(), 3, count)
    some = guesser.guess(hidden_E, 3, count, least)
    assert some
    assert some == all_of_them[: len(some)]
    bounds = (0.3, 0.5, 0.7, 0.85)
    assert all(each.level > sum(least > bound for bound in bounds) for each in some[:-1])
    if len(some) < count:
        assert some[-1].level <= 1 + sum(least >= bound for bound in bounds)
    assert guesser.guess(hidden_E, 3, count, least) == some
    assert guesser.guess(hidden_E, 3, count) == all_of_them


def test_a_token_without_an_embedding_is_refused(build: ctypes.CDLL) -> None:
    head = NativeDraftHead(random_head(), torch.randn(VOCAB, HIDDEN), build)
    for token in (-1, VOCAB):
        with pytest.raises(IndexError, match=f"token {token} has no embedding"):
            head.guess(np.zeros(HIDDEN, dtype=np.float32), token, 2)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_the_vectors_are_those_that_the_output_head_saw(name: str, build: ctypes.CDLL) -> None:
    plain = random_network(CONFIGS[name])
    network = NativeTransformer(
        plain.config, plain.parameters, "packed", None, Precision.FINE, build
    )
    batch = forward_batch([Part(list(range(1, 20)), range(48), read=[3, 18, 7])])
    logits_RV = network.forward(batch, network.allocate_cache(48)).clone()
    assert network.hidden_RE is None
    network.keeps_hidden = True
    assert torch.equal(network.forward(batch, network.allocate_cache(48)), logits_RV)
    assert network.hidden_RE is not None
    right_RV = torch.from_numpy(network.hidden_RE) @ plain.parameters.head_VE.float().T
    assert torch.allclose(right_RV[:, : plain.vocab_size], logits_RV, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("profile", ["exact", "fast"])
def test_the_embedded_model_s_head_is_often_right(profile: Profile) -> None:
    """On what the model says to a question that it was not trained on."""
    prompt = [{"role": "user", "content": "What do people like about the sea?"}]
    with embedded_engine(profile) as engine:
        plain = engine.generate(prompt, mode=Autoregressive(), max_new_tokens=64)
        drafted = engine.generate(prompt, mode=SelfSpeculation(4, HeadDrafter()), max_new_tokens=64)
    assert drafted.token_ids == plain.token_ids
    assert drafted.stats.accepted >= 6
