"""The embedded model's tokenizer splits text as the model was taught, and ends its turns."""

import pytest
import torch

from decoding.tokenizer import Tokenizer
from decoding.weights import EMBEDDED, load
from tests.decoding.batches import Part, forward_batch

# The first test on a machine converts the weights: seconds, and many on a busy machine.
pytestmark = [pytest.mark.embedded, pytest.mark.timeout(600)]
CHAT = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load(EMBEDDED, device=torch.device("cpu"), dtype=torch.float32).tokenizer


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Hello world", [19556, 905]),
        ("<|endoftext|><|im_start|><|im_end|>", [0, 1, 2]),
    ],
)
def test_known_ids(tokenizer: Tokenizer, text: str, ids: list[int]) -> None:
    assert tokenizer.encode(text) == ids


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("a  2024 b", ["a", "ĠĠ", "2", "0", "2", "4", "Ġb"]),
        ("\n\n1", ["ĊĊ", "1"]),
        ('{"n": 12}', ['{"', "n", '":', "Ġ", "1", "2", "}"]),
        ("don't x1", ["don", "'t", "Ġx", "1"]),
    ],
)
def test_digits_stand_alone(tokenizer: Tokenizer, text: str, tokens: list[str]) -> None:
    """The ids are those of llama.cpp for the file's pre-tokenizer, "smollm"."""
    assert tokenizer.hf.convert_ids_to_tokens(tokenizer.encode(text)) == tokens


def test_the_ends_are_those_of_a_turn(tokenizer: Tokenizer) -> None:
    assert tokenizer.eos_token_ids == (2,)
    assert tokenizer.mask_token_id is None


def test_the_chat_template_is_chatml_with_a_default_system_message(tokenizer: Tokenizer) -> None:
    assert tokenizer.render_chat(CHAT) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\n<|im_start|>user\nWhat is the capital of France?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    own = tokenizer.render_chat([{"role": "system", "content": "Be brief."}, *CHAT])
    assert own.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")


def test_an_answer_is_a_sentence_that_ends_its_turn(tokenizer: Tokenizer) -> None:
    """Greedy, one forward per token, without an engine."""
    network = load(EMBEDDED, device=torch.device("cpu"), dtype=torch.float32).network
    new, start, answer = tokenizer.encode_chat(CHAT), 0, []
    storage = network.allocate_cache(len(new) + 20)
    while len(answer) < 20 and (not answer or answer[-1] not in tokenizer.eos_token_ids):
        part = Part(new, range(storage.num_slots), start, read=[len(new) - 1])
        start += len(new)
        new = [int(network.forward(forward_batch([part]), storage).argmax())]
        answer += new
    assert tokenizer.decode(answer) == "The capital of France is Paris.<|im_end|>"
