"""Text to ids and back, chats, and text that arrives token by token."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from transformers import PreTrainedTokenizerFast

from decoding.errors import WeightsError
from decoding.tokenizer import Tokenizer
from tests.decoding.tiny import (
    CHATML,
    MERGES,
    SPECIALS,
    byte_tokenizer,
    byte_tokenizer_hf,
    metaspace_tokenizer,
)

HELLO = [{"role": "user", "content": "hello"}]
TEXTS = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("a é🎉日本語👩‍👩‍👧 \n�")))


def decorated() -> Tokenizer:
    """The byte tokenizer with added tokens that byte-level spelling does not cover."""
    hf = byte_tokenizer_hf()
    hf.add_tokens(["<tool call>", "日本", "Ġx"])
    return Tokenizer(hf)


TOKENIZERS = {
    "byte": byte_tokenizer(),
    "decorated": decorated(),
    "metaspace": metaspace_tokenizer(),
}


@pytest.fixture(params=sorted(TOKENIZERS))
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return TOKENIZERS[request.param]


# --- text and ids


@given(text=TEXTS)
def test_text_survives_the_round_trip(text: str) -> None:
    tokenizer = TOKENIZERS["byte"]
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_ids_of_the_tiny_tokenizer_are_what_it_promises() -> None:
    tokenizer = TOKENIZERS["byte"]
    assert tokenizer.encode("A\x00~") == [65, 0, 126]
    assert tokenizer.encode("the") == [256 + MERGES.index("the")]
    assert tokenizer.encode("<|im_end|>") == [256 + len(MERGES) + SPECIALS.index("<|im_end|>")]
    assert tokenizer.vocab_size == 256 + len(MERGES) + len(SPECIALS)
    assert tokenizer.mask_token_id == tokenizer.encode("<|mask|>")[0]


def test_unknown_ids_are_no_text() -> None:
    tokenizer = TOKENIZERS["byte"]
    assert tokenizer.decode([65, 9999, 66]) == "AB"
    assert tokenizer.detokenizer().push([65, 9999, 66]) == "AB"


def test_special_tokens_can_be_left_out(tokenizer: Tokenizer) -> None:
    end = tokenizer.eos_token_ids[0]
    ids = [*tokenizer.encode("a a"), end]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a a"
    assert tokenizer.decode(ids).startswith("a a")
    assert len(tokenizer.decode(ids)) > 3


# --- detokenizing


def pieces(tokenizer: Tokenizer, ids: list[int], cuts: list[int], skip: bool) -> list[str]:
    """The texts of all pushes, cut at the given places, and of the flush."""
    detokenizer = tokenizer.detokenizer(skip_special_tokens=skip)
    ends = sorted({min(cut, len(ids)) for cut in cuts} | {0, len(ids)})
    texts = [detokenizer.push(ids[a:b]) for a, b in itertools.pairwise(ends)]
    return [*texts, detokenizer.flush()]


@settings(max_examples=150)
@given(data=st.data(), skip=st.booleans(), cuts=st.lists(st.integers(0, 40)))
def test_pushed_text_joins_to_the_decoded_text(
    data: st.DataObject, skip: bool, cuts: list[int]
) -> None:
    """Any ids in any cuts: real text, halves of characters, specials, unknown ids."""
    tokenizer = TOKENIZERS[data.draw(st.sampled_from(sorted(TOKENIZERS)))]
    any_id = st.integers(0, tokenizer.vocab_size + 2)
    added_id = st.sampled_from(sorted(tokenizer.hf.added_tokens_decoder))
    ids = data.draw(
        st.one_of(TEXTS.map(tokenizer.encode), st.lists(any_id | added_id, max_size=40))
    )
    texts = pieces(tokenizer, ids, cuts, skip)
    assert "".join(texts) == tokenizer.decode(ids, skip_special_tokens=skip)


@given(text=TEXTS.filter(lambda text: "�" not in text))
@example("👩‍👩‍👧 é")
def test_half_a_character_is_never_shown(text: str) -> None:
    for tokenizer in TOKENIZERS.values():
        texts = pieces(tokenizer, tokenizer.encode(text), list(range(200)), False)
        assert not any("�" in each for each in texts)
        assert texts[-1] == "" or tokenizer is TOKENIZERS["metaspace"]


def test_text_comes_as_soon_as_it_is_whole() -> None:
    detokenizer = TOKENIZERS["byte"].detokenizer()
    assert [detokenizer.push([byte]) for byte in "aé".encode()] == ["a", "", "é"]
    assert detokenizer.push([0xF0, 0x9F]) == ""
    assert detokenizer.push([65]) == "�A", "what can no longer become a character is shown"
    assert detokenizer.flush() == ""


def test_flush_shows_what_will_never_be_whole() -> None:
    for name in ("byte", "metaspace"):
        tokenizer = TOKENIZERS[name]
        ids = tokenizer.encode("🎉")[:-1]
        detokenizer = tokenizer.detokenizer()
        assert detokenizer.push(ids) == ""
        assert "�" in detokenizer.flush()
        assert detokenizer.flush() == ""


def test_a_leading_space_is_kept_within_a_text_and_dropped_at_its_start() -> None:
    tokenizer = TOKENIZERS["metaspace"]
    the = tokenizer.hf.convert_tokens_to_ids("▁the")
    detokenizer = tokenizer.detokenizer()
    assert [detokenizer.push([the]), detokenizer.push([the])] == ["the", " the"]


def test_what_a_training_left_in_the_file_cuts_and_pads_nothing(tmp_path: Path) -> None:
    hf = metaspace_tokenizer().hf
    expected = Tokenizer(hf).encode("the tea the tea the tea")
    hf.backend_tokenizer.enable_truncation(3)
    hf.backend_tokenizer.enable_padding(length=40)
    hf.save_pretrained(tmp_path)
    assert '"truncation": {' in (tmp_path / "tokenizer.json").read_text()
    assert Tokenizer.from_directory(tmp_path).encode("the tea the tea the tea") == expected


@pytest.mark.parametrize("name", sorted(TOKENIZERS))
def test_pushing_costs_no_more_late_in_a_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts what the backend is asked to look at, rather than time."""
    tokenizer = TOKENIZERS[name]
    counter = CountingBackend(tokenizer.hf.backend_tokenizer)
    monkeypatch.setattr(tokenizer, "_backend", counter)
    detokenizer = tokenizer.detokenizer()
    ids = tokenizer.encode("a é日") * 50
    costs = []
    for token_id in ids:
        counter.looked_at = 0
        detokenizer.push([token_id])
        costs.append(counter.looked_at)
    assert max(costs[len(costs) // 2 :]) <= max(costs[:20])


class CountingBackend:
    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.decoder = backend.decoder
        self.looked_at = 0

    def encode(self, text: str, add_special_tokens: bool) -> object:
        return self.backend.encode(text, add_special_tokens=add_special_tokens)

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        self.looked_at += len(ids)
        return str(self.backend.decode(ids, skip_special_tokens=skip_special_tokens))

    def id_to_token(self, token_id: int) -> str | None:
        self.looked_at += 1
        return self.backend.id_to_token(token_id)


# --- chats


def test_a_chat_is_rendered_by_the_template_and_encoded_once() -> None:
    tokenizer = TOKENIZERS["byte"]
    text = tokenizer.render_chat(HELLO)
    assert text == "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.encode_chat(HELLO) == tokenizer.encode(text)
    ended = tokenizer.render_chat(HELLO, add_generation_prompt=False)
    assert ended == "<|im_start|>user\nhello<|im_end|>\n"


def test_chatml_is_assumed_where_its_tokens_exist() -> None:
    bare = byte_tokenizer(chat_template=None)
    assert bare.render_chat(HELLO) == TOKENIZERS["byte"].render_chat(HELLO)


def test_a_tokenizer_without_a_template_refuses_chats() -> None:
    with pytest.raises(ValueError, match="no chat template: give the prompt as text"):
        TOKENIZERS["metaspace"].render_chat(HELLO)


@pytest.mark.parametrize(
    ("messages", "match"),
    [
        ([], "no messages"),
        ([{"role": "user"}], "message 0 needs a 'content'"),
        ([*HELLO, {"content": "x"}], "message 1 needs a 'role'"),
        ([{"role": "user", "content": None}], "'content' that is text"),
    ],
)
def test_unusable_messages_are_refused(messages: list[dict[str, str]], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        TOKENIZERS["byte"].encode_chat(messages)


def test_what_a_template_refuses_is_said() -> None:
    strict = byte_tokenizer("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(ValueError, match="refuses the messages: roles must alternate"):
        strict.render_chat(HELLO)


# --- ends, and checkpoint directories


def directory_with(path: Path, hf: PreTrainedTokenizerFast, **settings: dict[str, object]) -> Path:
    hf.save_pretrained(path)
    for name, content in settings.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return path


def refusal(directory: Path, match: str) -> WeightsError:
    with pytest.raises(WeightsError, match=match) as caught:
        Tokenizer.from_directory(directory)
    return caught.value


def test_every_end_is_known_once(tmp_path: Path) -> None:
    directory = directory_with(
        tmp_path,
        byte_tokenizer_hf(),
        generation_config={"eos_token_id": [7, 268]},
        config={"eos_token_id": 9},
    )
    assert Tokenizer.from_directory(directory).eos_token_ids == (7, 268, 9)


def test_the_end_of_a_chat_turn_is_an_end(tmp_path: Path) -> None:
    hf = byte_tokenizer_hf(CHATML)
    hf.eos_token = "<|im_start|>"
    directory = directory_with(tmp_path, hf, config={})
    assert Tokenizer.from_directory(directory).eos_token_ids == (267, 268)


def test_a_directory_gives_the_same_tokenizer(tmp_path: Path) -> None:
    directory = directory_with(tmp_path, byte_tokenizer_hf(), config={"mask_token_id": 100})
    tokenizer = Tokenizer.from_directory(str(directory))
    assert tokenizer.encode_chat(HELLO) == TOKENIZERS["byte"].encode_chat(HELLO)
    assert tokenizer.mask_token_id == 100, "the network's own mask comes first"
    assert tokenizer.vocab_size == 270


def test_settings_of_a_wrapped_text_model_count(tmp_path: Path) -> None:
    config = {"text_config": {"eos_token_id": 5, "mask_token_id": 6}}
    tokenizer = Tokenizer.from_directory(
        directory_with(tmp_path, byte_tokenizer_hf(), config=config)
    )
    assert tokenizer.eos_token_ids[0] == 5
    assert tokenizer.mask_token_id == 6


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "\0"])
def test_a_damaged_tokenizer_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, content: str
) -> None:
    directory = directory_with(tmp_path, byte_tokenizer_hf(), config={"model_type": "llama"})
    (directory / name).write_text(content)
    error = refusal(directory, name)
    assert error.file == directory / name
    assert "\n" not in str(error)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("content", ['{"model": 3}', '{"added_tokens": [], "model": {}}'])
def test_a_tokenizer_of_the_wrong_shape_is_named(tmp_path: Path, content: str) -> None:
    directory = directory_with(tmp_path, byte_tokenizer_hf())
    (directory / "tokenizer.json").write_text(content)
    error = refusal(directory, "the tokenizer cannot be read")
    assert error.file == directory / "tokenizer.json"
    assert "\n" not in str(error)


def test_a_missing_tokenizer_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    directory = directory_with(tmp_path, byte_tokenizer_hf(), config={"model_type": "nemotron"})
    (directory / "tokenizer.json").unlink()
    error = refusal(directory, r"tokenizer\.json is missing")
    assert error.file == directory / "tokenizer.json"
    assert "\n" not in str(error)
    assert capfd.readouterr().err == ""
    assert not caplog.records


def test_a_tokenizer_is_not_made_from_damaged_files(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "tokenizer.model").write_bytes(b"\0")
    error = refusal(tmp_path, r"tokenizer\.json is missing and cannot be made")
    assert error.file == tmp_path / "tokenizer.json"
    assert "\n" not in str(error)


@pytest.mark.parametrize("ends", ["</s>", [1, "2"], {"id": 1}])
def test_unusable_ends_are_refused(tmp_path: Path, ends: object) -> None:
    directory = directory_with(tmp_path, byte_tokenizer_hf(), config={"eos_token_id": ends})
    with pytest.raises(WeightsError, match="no token id"):
        Tokenizer.from_directory(directory)


@pytest.mark.parametrize("end", ["</s>", [1, "2"], {"id": 3}])
def test_an_unusable_end_is_refused(tmp_path: Path, end: object) -> None:
    directory = directory_with(tmp_path, byte_tokenizer_hf(), config={"eos_token_id": end})
    with pytest.raises(WeightsError, match="is no token id") as caught:
        Tokenizer.from_directory(directory)
    assert caught.value.key == "eos_token_id"
