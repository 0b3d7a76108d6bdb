"""Chats to token ids, such that only the chat template writes special tokens.

A template puts the messages' text between special tokens such as `<|im_end|>`. Text that spells
one, a tool's result say, would end its turn and speak for others once the whole is encoded. So
special tokens in the contents are replaced by marks before rendering, and the marks become
plain text behind it.
"""

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence, Set
from functools import cached_property

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

Messages = Sequence[Mapping[str, str]]
Render = Callable[[Messages], str]

TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
THINK = "<think>"
THINK_END = "</think>"

_JOINT = 8
"""So many ids tell how a text of them joins the one before."""
_CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# The layout of Nemotron models with thinking off: a system turn even if it is empty, an empty
# thought before each answer, and thoughts of earlier answers left out.
_CHATML_THINKING = (
    "{% set last = namespace(user=-1) %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{% set last.user = loop.index0 %}{% endif %}"
    "{% endfor %}"
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}"
    "{% set content = message['content'] %}"
    "{% if message['role'] == 'assistant' %}"
    "{% if '</think>' not in content %}"
    "{% set content = '<think></think>' + content %}"
    "{% elif loop.index0 < last.user %}"
    "{% set content = '<think></think>' + content.split('</think>')[-1].lstrip() %}"
    "{% endif %}"
    "{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + content + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think></think>' }}{% endif %}"
)


def fallback_template(backend: Backend) -> str | None:
    """A chat template for a tokenizer without one, by the special tokens it has."""

    def has(*tokens: str) -> bool:
        return all(backend.token_to_id(token) is not None for token in tokens)

    if not has(TURN_START, TURN_END):
        return None
    return _CHATML_THINKING if has(THINK, THINK_END) else _CHATML


class ChatEncoder:
    """Encodes chats with one tokenizer. One thread at a time.

    `special` holds by id all tokens that no content may write, `ends` the ids that end a text.
    """

    def __init__(
        self, backend: Backend, special: Mapping[int, AddedToken], ends: Sequence[int]
    ) -> None:
        self._backend = backend
        self._special = special
        self._ids = {token.content: token_id for token_id, token in special.items()}
        self._ends = {special[each].content for each in ends if each in special}
        self._secret = f"\U0010fffd{secrets.token_hex(8)}"  # no text holds it by accident
        longest_first = sorted(self._ids, key=len, reverse=True)
        spelled = "|".join(map(re.escape, longest_first)) or r"(?!)"
        self._spelled = re.compile(spelled)
        self._normalized = [token.content for token in special.values() if token.normalized]
        self._marked_or_spelled = re.compile(rf"{self._secret}(?P<kind>[ut])(?P<id>\d+);|{spelled}")
        self._slot = re.compile(rf"{self._secret}s(\d+);")

    def encode(
        self, messages: Messages, render: Render, kept: Mapping[int, Sequence[int]]
    ) -> list[int]:
        """Token ids of the rendered messages; special tokens in their contents are text.

        `kept` gives, by index, the ids that a message's content is already known by. They are
        used as they are, unless they say something else, as those of an answer before a stop
        string do, or the template changes that content. An assistant's content keeps
        its special tokens, except the template's own and those that end a text. Raises
        `ValueError` where the tokenizer cannot write a special token as text.
        """
        plain = render(messages)
        kept = {
            index: ids
            for index, ids in kept.items()
            if self._decode(ids) == messages[index]["content"]
        }
        for index, message in enumerate(messages):
            if index not in kept:
                self._check_hidden(message["content"])
        contents = [
            self._mark("s", index) if index in kept else self._marked(message)
            for index, message in enumerate(messages)
        ]
        if contents == [message["content"] for message in messages]:
            return self._encode(plain)
        text = render(
            [{**each, "content": mark} for each, mark in zip(messages, contents, strict=True)]
        )
        if self._restored(text, kept) == plain:
            ids = self._parts(text, kept)
            if ids is not None:
                return ids
        if kept:
            return self.encode(messages, render, {})
        raise ValueError(
            "the model's chat template changes the special tokens that a message spells; "
            "take them out of the messages"
        )

    def _check_hidden(self, content: str) -> None:
        """Raises `ValueError` for special tokens in other characters, full-width ones for example,
        that the tokenizer itself would turn into them."""
        normalizer = self._backend.normalizer
        if normalizer is None or not self._normalized:
            return
        seen = normalizer.normalize_str(content)
        hidden = [
            each
            for each in self._normalized
            if max(map(seen.count, (each, normalizer.normalize_str(each)))) > content.count(each)
        ]
        if hidden:
            raise ValueError(
                "a message spells special tokens in characters that this tokenizer turns into "
                f"them; take them out of the messages: {', '.join(hidden)}"
            )

    def _mark(self, kind: str, number: int) -> str:
        return f"{self._secret}{kind}{number};"

    def _marked(self, message: Mapping[str, str]) -> str:
        """The content with marks for its special tokens: "t" for those of an assistant."""
        by_assistant = message["role"] == "assistant"
        kind = "t" if by_assistant else "u"

        def mark(match: re.Match[str]) -> str:
            # Templates look for an answer's thoughts, to leave them out.
            seen = by_assistant and match[0] in (THINK, THINK_END)
            return match[0] if seen else self._mark(kind, self._ids[match[0]])

        return self._spelled.sub(mark, message["content"])

    def _restored(self, text: str, kept: Mapping[int, Sequence[int]]) -> str:
        """The text without marks."""
        text = self._slot.sub(lambda slot: self._decode(kept[int(slot[1])]), text)
        return self._marked_or_spelled.sub(self._spelling, text)

    def _spelling(self, match: re.Match[str]) -> str:
        return self._special[int(match["id"])].content if match["id"] else match[0]

    def _parts(self, text: str, kept: Mapping[int, Sequence[int]]) -> list[int] | None:
        """The ids of a marked text; None where kept ones would be another text behind what stands
        there, as ids that begin a text may hold a space that is not shown."""
        found = self._marked_or_spelled.finditer(text)
        written = {match[0] for match in found if not match["id"]} - {THINK, THINK_END}
        ids: list[int] = []
        for index, part in enumerate(self._slot.split(text)):  # text and slot take turns
            if index % 2:
                if not self._joins(ids, kept[int(part)]):
                    return None
                ids += kept[int(part)]
            else:
                ids += self._part(part, written | self._ends)
        return ids

    def _joins(self, before: Sequence[int], ids: Sequence[int]) -> bool:
        last, first = list(before[-1:]), list(ids[:_JOINT])
        return self._decode([*last, *first]) == self._decode(last) + self._decode(first)

    def _part(self, text: str, structural: Set[str]) -> list[int]:
        """The ids of a marked text without slots; `structural` tokens are the template's own."""
        if self._secret not in text:
            return self._encode(text)
        expected: list[int] = []
        literal: list[str] = []

        def place(match: re.Match[str]) -> str:
            spelling = self._spelling(match)
            is_text = match["kind"] == "u" or (match["kind"] == "t" and spelling in structural)
            if is_text:
                literal.append(spelling)
                return spelling
            expected.append(self._ids[spelling])
            return self._mark("u", self._ids[spelling])

        placed = self._marked_or_spelled.sub(place, text)
        backend, real_ids = self._literal
        encoded = backend.encode(placed, add_special_tokens=False).ids
        ids = [real_ids.get(each, each) for each in encoded]
        plain = self._restored(text, {})
        is_sound = [each for each in ids if each in self._special] == expected
        if is_sound and _letters(self._decode(ids)) == _letters(self._decode(self._encode(plain))):
            return ids
        raise ValueError(
            "this tokenizer cannot write the special tokens that a message spells as text; "
            f"take them out of the messages: {', '.join(literal)}"
        )

    @cached_property
    def _literal(self) -> tuple[Backend, dict[int, int]]:
        """A tokenizer to which special tokens are text and marks are special tokens.

        Beside it, the special tokens' ids by the ids of their marks.
        """
        described = json.loads(self._backend.to_str())
        for token in described["added_tokens"]:  # only such as are special can be text instead
            token["special"] = token["special"] or token["id"] in self._special
        backend = Backend.from_str(json.dumps(described))
        backend.encode_special_tokens = True
        marks = {token_id: self._mark("u", token_id) for token_id in self._special}
        backend.add_tokens(
            [
                AddedToken(
                    mark,
                    single_word=self._special[token_id].single_word,
                    lstrip=self._special[token_id].lstrip,
                    rstrip=self._special[token_id].rstrip,
                    normalized=False,
                )
                for token_id, mark in marks.items()
            ]
        )
        return backend, {_id_of(backend, mark): token_id for token_id, mark in marks.items()}

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._backend.decode(list(ids), skip_special_tokens=False)
        return text


def _letters(text: str) -> str:
    """Without spaces, which special tokens may swallow."""
    return "".join(text.split())


def _id_of(backend: Backend, token: str) -> int:
    token_id: int | None = backend.token_to_id(token)
    assert token_id is not None
    return token_id
