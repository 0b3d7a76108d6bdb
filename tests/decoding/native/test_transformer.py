"""The compiled forward computes what the network on torch computes, up to rounding."""

import ctypes
import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from decoding.native.storage import PagedStorage
from decoding.native.transformer import NativeTransformer, Precision, why_unsupported
from decoding.network.transformer import Parameters
from decoding.span import Attention, ForwardBatch
from decoding.weights import EMBEDDED, load
from decoding.weights.embedded import embedded_directory
from tests.decoding.batches import Part, forward_batch
from tests.decoding.checkpoints import reference_logits
from tests.decoding.native.networks import CONFIGS, LLAMA, nan_cache, random_network, slots_of

TOLERANCE = {Precision.FINE: 5e-5, Precision.COARSE: 0.2}
precisions = pytest.mark.parametrize("precision", list(Precision))


def error_of(found_RV: Tensor, right_RV: Tensor) -> float:
    """Root mean square of the difference, in units of the logits' own size."""
    return float((found_RV - right_RV).square().mean().sqrt() / right_RV.std())


def tokens_of(count: int, seed: int = 0) -> list[int]:
    return random.Random(seed).choices(range(LLAMA.vocab_size), k=count)


def batches() -> list[list[Part]]:
    """A prompt, then verifications, blocks and drafts behind it, over pages in any order."""
    near, far = range(96), slots_of([11, 6, 9, 8, 7, 10])
    block = Attention.BLOCK
    return [
        [Part(tokens_of(37), near, read=[0, 15, 16, 36]), Part(tokens_of(20, 1), far)],
        [Part(tokens_of(1, 2), near, 37), Part(tokens_of(12, 3), far, 20, block, adapter=True)],
        [Part(tokens_of(9, 4), far, 20), Part(tokens_of(30, 5), near, 38, block)],
        [Part(tokens_of(7, 6), near, 38, adapter=True), Part(tokens_of(5, 7), far, 29, read=[])],
    ]


@precisions
@pytest.mark.parametrize("name", list(CONFIGS))
def test_logits_are_those_of_the_network_on_torch(
    name: str, precision: Precision, build: ctypes.CDLL
) -> None:
    """A rank that no group fits, and one that fills several."""
    for rank in (5, 40):
        plain = random_network(CONFIGS[name], rank=rank)
        network = NativeTransformer(
            plain.config, plain.parameters, "packed", plain.adapter, precision, build
        )
        assert network.is_exact
        storage, reference = nan_cache(network, 192), plain.allocate_cache(192)
        for parts in batches():
            batch = forward_batch(parts)
            found_RV, right_RV = network.forward(batch, storage), plain.forward(batch, reference)
            assert found_RV.shape == right_RV.shape
            error = error_of(found_RV, right_RV)
            assert error < TOLERANCE[precision], f"{error:.2e}"


def test_fine_is_finer_than_coarse() -> None:
    plain = random_network(CONFIGS["llama-even"])
    batch = forward_batch([Part(tokens_of(40), range(48))])
    right_RV = plain.forward(batch, plain.allocate_cache(48))
    errors = []
    for precision in (Precision.FINE, Precision.COARSE):
        network = NativeTransformer(plain.config, plain.parameters, "", None, precision)
        found_RV = network.forward(batch, network.allocate_cache(48))
        errors.append(float((found_RV - right_RV).abs().max()))
    assert errors[0] * 100 < errors[1]


@precisions
def test_long_contexts(precision: Precision, build: ctypes.CDLL) -> None:
    plain = random_network(replace(LLAMA, windows=(None, 300)))
    network = NativeTransformer(plain.config, plain.parameters, "", None, precision, build)
    batch = forward_batch([Part(tokens_of(1000), range(1008), read=[0, 511, 512, 999])])
    found_RV = network.forward(batch, nan_cache(network, 1008))
    right_RV = plain.forward(batch, plain.allocate_cache(1008))
    assert error_of(found_RV, right_RV) < TOLERANCE[precision]


@precisions
@pytest.mark.parametrize("threads", [1, 3])
def test_a_few_rows_behind_a_long_context(
    threads: int, precision: Precision, build: ctypes.CDLL
) -> None:
    """Few rows are divided by what they see, and of the last layer only those that are read."""
    plain = random_network(replace(LLAMA, windows=(None, 300)))
    network = NativeTransformer(plain.config, plain.parameters, "", None, precision, build)
    tokens, storages = tokens_of(520), (nan_cache(network, 528), plain.allocate_cache(528))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for start, end, read in ((0, 509, []), (509, 510, [0]), (510, 520, [2, 9])):
            batch = forward_batch([Part(tokens[start:end], range(528), start, read=read)])
            found_RV = network.forward(batch, storages[0])
            right_RV = plain.forward(batch, storages[1])
            assert not read or error_of(found_RV, right_RV) < TOLERANCE[precision]
    finally:
        torch.set_num_threads(before)


def tiny(
    precision: Precision = Precision.FINE, build: ctypes.CDLL | None = None
) -> NativeTransformer:
    plain = random_network(LLAMA)
    return NativeTransformer(plain.config, plain.parameters, "tiny", None, precision, build)


@precisions
def test_a_forward_of_nothing(precision: Precision, build: ctypes.CDLL) -> None:
    network = tiny(precision, build)
    storage = nan_cache(network, 32)
    assert network.forward(forward_batch([]), storage).shape == (0, LLAMA.vocab_size)
    nothing_read = forward_batch([Part([1, 2], range(32), read=[])])
    assert network.forward(nothing_read, storage).shape == (0, LLAMA.vocab_size)


def test_rows_read_twice_and_in_any_order(build: ctypes.CDLL) -> None:
    network = tiny(build=build)
    storage = nan_cache(network, 32)
    whole_RV = network.forward(forward_batch([Part(tokens_of(9), range(32))]), storage).clone()
    read = [8, 0, 3, 3]
    found_RV = network.forward(forward_batch([Part(tokens_of(9), range(32), read=read)]), storage)
    assert torch.equal(found_RV, whole_RV[read])


@pytest.mark.parametrize("token", [-1, 71])
def test_tokens_without_an_embedding_are_refused(token: int) -> None:
    network = tiny()
    with pytest.raises(IndexError, match="embeds the tokens 0 to 70"):
        network.forward(forward_batch([Part([0, token], range(32))]), nan_cache(network, 32))


def test_slots_beyond_the_storage_are_refused() -> None:
    network = tiny()
    with pytest.raises(IndexError, match="slots 0 to 31"):
        network.forward(forward_batch([Part([0], range(32, 64))]), nan_cache(network, 32))


def test_slots_that_are_in_no_pages_are_refused() -> None:
    network = tiny()
    with pytest.raises(ValueError, match="page_size that 16 divides"):
        network.forward(forward_batch([Part([0], range(4, 32))]), nan_cache(network, 32))


@pytest.mark.parametrize("row", [-1, 2])
def test_rows_that_are_not_there_are_not_read(row: int) -> None:
    network = tiny()
    with pytest.raises(IndexError, match="a forward of 2 rows"):
        network.forward(
            forward_batch([Part([0, 1], range(32), read=[row])]), nan_cache(network, 32)
        )


def test_a_draft_adapter_that_is_not_there() -> None:
    network = tiny()
    batch = forward_batch([Part([0], range(32), adapter=True)])
    with pytest.raises(ValueError, match="tiny has no draft adapter"):
        network.forward(batch, nan_cache(network, 32))


def test_a_mask_token_behind_the_vocabulary(build: ctypes.CDLL) -> None:
    """It has an embedding and no logit."""
    plain = random_network(LLAMA)
    mask_E = torch.linspace(-1, 1, LLAMA.hidden_size)
    embedding_VE = torch.cat((plain.parameters.embedding_VE, mask_E[None]))
    parameters = replace(plain.parameters, embedding_VE=embedding_VE)
    config = replace(LLAMA, mask_token_id=LLAMA.vocab_size)
    network = NativeTransformer(config, parameters, "", None, Precision.FINE, build)
    swapped_VE = plain.parameters.embedding_VE.clone()
    swapped_VE[7] = mask_E
    other = NativeTransformer(
        LLAMA, replace(plain.parameters, embedding_VE=swapped_VE), "", None, Precision.FINE, build
    )

    def logits(network: NativeTransformer, token: int) -> Tensor:
        batch = forward_batch([Part([1, token, 2], range(16))])
        return network.forward(batch, nan_cache(network, 16)).clone()

    assert torch.equal(logits(network, LLAMA.vocab_size), logits(other, 7))


@precisions
@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_visible(
    number: float, precision: Precision, build: ctypes.CDLL
) -> None:
    """Where an activation is damaged the row's logits are, and the rows before it are not."""
    plain = random_network(LLAMA)
    damaged_VE = plain.parameters.embedding_VE.clone()
    damaged_VE[7, 3] = number
    parameters = replace(plain.parameters, embedding_VE=damaged_VE)
    network = NativeTransformer(LLAMA, parameters, "", None, precision, build)
    storage = nan_cache(network, 32)
    before_RV = network.forward(forward_batch([Part([1, 2], range(32))]), storage).clone()
    after_RV = network.forward(forward_batch([Part([7, 3], range(32), 2)]), storage)
    assert before_RV.isfinite().all()
    assert not after_RV.isfinite().any()
    at_once_RV = network.forward(
        forward_batch([Part([1, 2, 7], range(32))]), nan_cache(network, 32)
    )
    assert torch.equal(at_once_RV[:2], before_RV)
    assert not at_once_RV[2].isfinite().any()


@precisions
def test_what_is_not_finite_is_not_seen_from_outside_its_window(
    precision: Precision, build: ctypes.CDLL
) -> None:
    """Also in one forward, and where a window ends within a page and a stretch."""
    plain = random_network(replace(LLAMA, windows=(4, 4)))
    damaged_VE = plain.parameters.embedding_VE.clone()
    damaged_VE[7, 3] = torch.nan
    parameters = replace(plain.parameters, embedding_VE=damaged_VE)
    network = NativeTransformer(plain.config, parameters, "", None, precision, build)
    tokens = [1 + at % 5 for at in range(150)]
    tokens[126] = 7
    found_RV = network.forward(forward_batch([Part(tokens, range(160))]), nan_cache(network, 160))
    damaged = [row for row in range(150) if not found_RV[row].isfinite().all()]
    assert damaged == list(range(126, 126 + 2 * 3 + 1))  # of two layers


@precisions
def test_activations_of_any_size(precision: Precision, build: ctypes.CDLL) -> None:
    """Those too small to be told from 0 count as 0."""
    plain = random_network(LLAMA)
    scale_V = 10.0 ** torch.linspace(-44, 8, LLAMA.vocab_size)
    embedding_VE = plain.parameters.embedding_VE * scale_V[:, None]
    parameters = replace(plain.parameters, embedding_VE=embedding_VE)
    network = NativeTransformer(LLAMA, parameters, "", None, precision, build)
    batch = forward_batch([Part(range(LLAMA.vocab_size), range(80))])
    assert network.forward(batch, nan_cache(network, 80)).isfinite().all()


def test_weights_that_are_not_finite_are_named() -> None:
    plain = random_network(LLAMA)
    plain.parameters.layers[1].down[3, 5] = torch.nan
    with pytest.raises(ValueError, match=r"layer 1, down: a weight is infinite, not a number"):
        NativeTransformer(LLAMA, plain.parameters, "")


def test_shapes_that_are_not_supported() -> None:
    assert "16 divides, not 10" in why_unsupported(replace(LLAMA, head_dim=10))
    many = replace(LLAMA, num_heads=65, num_kv_heads=1)
    assert "at most 64" in why_unsupported(many)
    assert not any(why_unsupported(config) for config in CONFIGS.values())
    with pytest.raises(ValueError, match="16 divides"):
        NativeTransformer(replace(LLAMA, head_dim=10), none_of(), "")


def none_of() -> Parameters:
    empty = torch.empty(0)
    return Parameters(embedding_VE=empty, layers=(), norm_E=empty, head_VE=empty)


def test_pages_are_copied_whole() -> None:
    storage: PagedStorage = nan_cache(tiny(), 64)
    for store in (*storage.keys_PGDN, *storage.values_PGND):
        store.copy_(torch.arange(4.0).reshape(4, 1, 1, 1).expand(store.shape))
    storage.copy(0, 32, 17)
    for store in (*storage.keys_PGDN, *storage.values_PGND):
        assert [float(page.mean()) for page in store] == [0.0, 1.0, 0.0, 1.0]
    assert storage.num_slots == 64
    assert nan_cache(tiny(), 17).num_slots == 32


def test_angles_do_not_depend_on_how_many_are_asked_for() -> None:
    """Tables grow while sequences are under way."""
    short, long = tiny(), tiny()
    short._cover(5)
    long._cover(400)
    for few, many in zip(short._tables, long._tables, strict=True):
        assert torch.equal(few, many[: len(few)])


def test_the_batch_is_left_as_it_is() -> None:
    network = tiny()
    batch: ForwardBatch = forward_batch([Part([3, 4], range(16))])
    before = batch.numbers_N.tolist()
    network.forward(batch, nan_cache(network, 16))
    assert batch.numbers_N.tolist() == before


@pytest.mark.embedded
def test_the_embedded_model_is_that_of_transformers() -> None:
    loaded = load(EMBEDDED, device=torch.device("cpu"), dtype=torch.float32, native=Precision.FINE)
    assert isinstance(loaded.network, NativeTransformer)
    reference = LlamaForCausalLM.from_pretrained(embedded_directory(None, None), dtype="float32")
    tokens = loaded.tokenizer.encode("The forward in whole numbers, and the forward in floats.")
    batch = forward_batch([Part(tokens, range(64))])
    found_RV = loaded.network.forward(batch, loaded.network.allocate_cache(64))
    right_RV = reference_logits(reference, tokens)
    assert float((found_RV - right_RV).abs().max()) < 1e-3
    assert torch.equal(found_RV.argmax(-1), right_RV.argmax(-1))
