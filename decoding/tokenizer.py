"""Text to token ids and back, with the checkpoint's own tokenizer and chat template."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from tokenizers import AddedToken
from tokenizers.decoders import ByteLevel
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from decoding.chat import TURN_END, ChatEncoder, fallback_template
from decoding.detokenizer import ByteDetokenizer, Detokenizer, PieceDetokenizer, Spellings
from decoding.errors import WeightsError
from decoding.jsonfile import read_json_object

_TOKENIZER = "tokenizer.json"
_FILES = (_TOKENIZER, "tokenizer_config.json")
_UNWRITTEN = "\u2402"  # stands for a message's text, in which no added token is looked for
# What a tokenizer can be made from where there is no tokenizer.json.
_SOURCES = ("tokenizer.model", "tekken.json", "vocab.json", "vocab.txt")


class Tokenizer:
    """A fast `transformers` tokenizer and the ids that end a text.

    `eos_token_ids` given here come before those the tokenizer itself names. A chat template
    that closes turns with `<|im_end|>` makes that token an end as well: some checkpoints name
    only the end of a document. One thread at a time.
    """

    def __init__(
        self,
        hf: PreTrainedTokenizerFast,
        *,
        eos_token_ids: Iterable[int] = (),
        mask_token_id: int | None = None,
    ) -> None:
        self.hf = hf
        self.vocab_size = len(hf)
        self._backend = hf.backend_tokenizer
        # A training may have left them in the file. transformers sets them anew for every call.
        self._backend.no_truncation()
        self._backend.no_padding()
        self._chat_template = _chat_template(hf)
        self.eos_token_ids = self._end_ids(eos_token_ids)
        self.mask_token_id: int | None = (
            hf.mask_token_id if mask_token_id is None else mask_token_id
        )
        added = hf.added_tokens_decoder
        special = {i: token for i, token in added.items() if token.special}
        self._special_ids = frozenset(special)
        self._spellings = Spellings(self._backend)
        control = special | self._written_by_template(added)
        self._chats = ChatEncoder(self._backend, control, self.eos_token_ids)

    @classmethod
    def from_directory(cls, path: str | Path) -> "Tokenizer":
        """Reads the tokenizer of a Hugging Face checkpoint directory, never the network.

        Raises `WeightsError` where the files are missing or damaged.
        """
        directory = Path(path)
        settings: list[dict[str, Any]] = []
        for name in ("generation_config.json", "config.json"):
            if (directory / name).exists():
                settings.append(read_json_object(directory / name))
        settings += [text for each in settings if isinstance(text := each.get("text_config"), dict)]
        masks = [
            each["mask_token_id"] for each in settings if each.get("mask_token_id") is not None
        ]
        return cls(
            _read_tokenizer(directory),
            eos_token_ids=[i for each in settings for i in _as_ids(each.get("eos_token_id"))],
            mask_token_id=masks[0] if masks else None,
        )

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        """Token ids of the text. Special tokens spelled in the text become their ids."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of the ids, bytes that form no character as U+FFFD.

        Ids the tokenizer does not know, such as the padding of a vocabulary, are no text.
        """
        text: str = self._backend.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text

    def detokenizer(self, skip_special_tokens: bool = False) -> Detokenizer:
        """A new incremental decoder, for one sequence."""
        skipped_ids = self._special_ids if skip_special_tokens else frozenset[int]()
        if isinstance(self._backend.decoder, ByteLevel):
            return ByteDetokenizer(self._spellings, skipped_ids)
        return PieceDetokenizer(self._backend, skipped_ids)

    def render_chat(
        self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The messages as the text the model was trained on, by the chat template.

        A checkpoint without a template is rendered as ChatML if it has the tokens for it, with
        empty thoughts before the answers if it has `<think>` and `</think>` too.
        Raises `ValueError` for messages the template refuses, or where there is none.
        """
        _check_messages(messages)
        if self._chat_template is None:
            raise ValueError(
                "this model has no chat template: give the prompt as text or token ids, "
                "or load an instruction-tuned checkpoint"
            )
        try:
            text = self.hf.apply_chat_template(
                [dict(message) for message in messages],
                chat_template=self._chat_template,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
            )
        except TemplateError as error:
            raise ValueError(f"the model's chat template refuses the messages: {error}") from error
        return str(text)

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, str]],
        add_generation_prompt: bool = True,
        *,
        kept: Mapping[int, Sequence[int]] | None = None,
    ) -> list[int]:
        """Token ids of `render_chat`, where special tokens in the messages are plain text.

        Only the template writes special tokens, so that no content can end its own turn. An
        assistant's content keeps those that neither end a text nor are the template's own.
        `kept` gives, by a message's index, the ids its content was decoded as; they are used
        as they are unless the template changes that content. Raises `ValueError` as
        `render_chat` does, and where the tokenizer cannot write a special token as text.
        """

        def render(changed: Sequence[Mapping[str, str]]) -> str:
            return self.render_chat(changed, add_generation_prompt)

        return self._chats.encode(messages, render, kept or {})

    def _written_by_template(self, added: Mapping[int, AddedToken]) -> dict[int, AddedToken]:
        """The added tokens that stand between the messages of a chat. Fine-tunings add such ones
        without saying that they are special."""
        others = {i: token for i, token in added.items() if not token.special}
        if self._chat_template is None or not others:
            return {}
        longest_first = sorted((each.content for each in added.values()), key=len, reverse=True)
        tokens = re.compile("|".join(map(re.escape, longest_first)))
        roles = ("system", "user", "assistant", "user")
        turns = [{"role": role, "content": _UNWRITTEN} for role in roles]
        for chat in (turns, turns[1:], turns[1:2]):
            try:
                written = {each for each in tokens.findall(self.render_chat(chat)) if each.strip()}
            except Exception:  # noqa: BLE001 - a template may fail in any way at turns it never has
                continue
            return {i: each for i, each in others.items() if each.content in written}
        return {}

    def _end_ids(self, first: Iterable[int]) -> tuple[int, ...]:
        ids = [*first, *_as_ids(self.hf.eos_token_id)]
        if self._chat_template is not None and TURN_END in self._chat_template:
            ids += _as_ids(self._backend.token_to_id(TURN_END))
        return tuple(dict.fromkeys(ids))


def _chat_template(hf: PreTrainedTokenizerFast) -> str | None:
    template = hf.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if template is not None:
        return str(template)
    return fallback_template(hf.backend_tokenizer)


def _as_ids(value: object) -> list[int]:
    if value is None:
        return []
    given = value if isinstance(value, list) else [value]
    ids = [each for each in given if isinstance(each, int)]
    if len(ids) != len(given):
        raise WeightsError(f"{value!r} is no token id, nor a list of them", key="eos_token_id")
    return ids


def _check_messages(messages: Sequence[Mapping[str, str]]) -> None:
    if not messages:
        raise ValueError("there are no messages; give at least one with a role and content")
    for index, message in enumerate(messages):
        for field in ("role", "content"):
            if not isinstance(message.get(field), str):
                raise ValueError(f"message {index} needs a {field!r} that is text: {message!r}")


def _read_tokenizer(directory: Path) -> PreTrainedTokenizerFast:
    # tokenizer.json is the tokenizer. AutoTokenizer may rebuild it by the rules of a model class,
    # which is slower; it is for directories that hold only what one can be made from.
    file = directory / _TOKENIZER
    if not file.exists() and not any((directory / name).exists() for name in _SOURCES):
        raise WeightsError(f"{_TOKENIZER} is missing; fetch the checkpoint again", file)
    reader: Any = PreTrainedTokenizerFast if file.exists() else AutoTokenizer
    try:
        hf = reader.from_pretrained(str(directory), local_files_only=True)
    except Exception as error:  # the parsers below raise every kind, bare ones too
        raise _unreadable(directory, error) from error
    if not isinstance(hf, PreTrainedTokenizerFast):
        raise WeightsError(f"the directory holds no fast tokenizer ({_TOKENIZER})", directory)
    return hf


def _unreadable(directory: Path, error: Exception) -> WeightsError:
    """Which file is at fault, in one line."""
    present = [directory / name for name in _FILES if (directory / name).exists()]
    for file in present:
        try:
            read_json_object(file)
        except WeightsError as damage:
            return damage
    said = f"{type(error).__name__}: {error}".splitlines()[0]
    file = directory / _TOKENIZER
    if file not in present:
        return WeightsError(
            f"{_TOKENIZER} is missing and cannot be made from the other files ({said}); "
            "fetch or save a fast tokenizer",
            file,
        )
    return WeightsError(
        f"the tokenizer cannot be read ({said}); fetch {' and '.join(_FILES)} again", file
    )
