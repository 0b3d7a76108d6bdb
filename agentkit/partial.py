"""A typed answer while it is written: what is there so far, and what of it is final."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from agentkit.events import JsonPath, PartialOutput
from agentkit.output import OutputSpec

_SPACE = " \t\n\r"


class PartialReader:
    """Reads one answer from its pieces and tells what it has of it so far.

    It falls silent for good where the text is not JSON, names a member twice, or where
    something that is final does not fit the output type.
    """

    def __init__(self, index: int, output: OutputSpec, *, is_heard: bool = True) -> None:
        self._index = index
        self._output = output
        self._scanner = _Scanner()
        self._is_silent = output.format.is_text or not is_heard
        self._last: tuple[Any, JsonPath | None] | None = None
        self._num_closed = 0

    def push(self, text: str) -> Iterator[PartialOutput]:
        """Takes the next piece of the answer. Tells nothing that would not be new."""
        if self._is_silent:
            return
        try:
            self._scanner.push(text)
            yield from self._told()
        except ValueError:  # not JSON, and so no answer either
            self._is_silent = True

    def finish(self, text: str) -> Iterator[PartialOutput]:
        """Tells the whole, once the answer is known to be valid; some models tell no parts."""
        if not self._is_silent:
            yield PartialOutput(self._index, from_json(text), None)

    def _told(self) -> Iterator[PartialOutput]:
        scanner = self._scanner
        if scanner.is_complete or not (text := scanner.settled).strip():
            return
        value, path = from_json(text, allow_partial="trailing-strings"), scanner.open_path
        if (value, path) == self._last:
            return
        if scanner.num_closed > self._num_closed:
            self._num_closed = scanner.num_closed
            self._output.check_closed(value, path)
        self._last = value, path
        yield PartialOutput(self._index, value, path)


@dataclass(slots=True)
class _Frame:
    """An object or array that is not closed yet. `key` names its latest child."""

    is_object: bool
    key: str | int = -1
    keys: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Scanner:
    """Follows the nesting of well-formed JSON text, letter by letter."""

    text: str = ""
    num_closed: int = 0
    is_complete: bool = False
    _frames: list[_Frame] = field(default_factory=list)
    _string: int | None = None
    _atom: int | None = None
    _escaped: bool = False
    _is_key: bool = False

    @property
    def settled(self) -> str:
        """The text without a number or word at its end, which may still become another."""
        return self.text if self._atom is None else self.text[: self._atom]

    @property
    def open_path(self) -> JsonPath:
        """Where the value that is being written is: all on the way there is open."""
        in_value = self._string is not None and not self._is_key
        frames = self._frames if in_value else self._frames[:-1]
        return tuple(frame.key for frame in frames)

    def push(self, piece: str) -> None:
        """Raises `ValueError` for a member that is named twice."""
        first = len(self.text)
        self.text += piece
        for place in range(first, len(self.text)):
            self._step(self.text[place], place)

    def _step(self, letter: str, place: int) -> None:
        if self._string is not None:
            self._in_string(letter, place, self._string)
        elif letter == '"':
            self._string = place
            self._is_key = bool(self._frames) and self._frames[-1].is_object and self._is_key
            self._begin()
        elif letter in "{[":
            self._begin()
            self._frames.append(_Frame(letter == "{"))
            self._is_key = letter == "{"
        elif letter in ",]}" or letter in _SPACE:
            self._delimit(letter)
        elif letter == ":":
            self._is_key = False
        elif self._atom is None:
            self._begin()
            self._atom = place

    def _begin(self) -> None:
        """A value begins, or the name of a member."""
        if self._frames and not self._frames[-1].is_object:
            key = self._frames[-1].key
            self._frames[-1].key = key + 1 if isinstance(key, int) else 0

    def _in_string(self, letter: str, place: int, start: int) -> None:
        if self._escaped:
            self._escaped = False
        elif letter == "\\":
            self._escaped = True
        elif letter == '"':
            self._string = None
            if self._is_key:
                self._name(from_json(self.text[start : place + 1]))
            else:
                self._close()

    def _name(self, key: str) -> None:
        frame = self._frames[-1]
        if key in frame.keys:
            raise ValueError(f"the member {key!r} is there twice")
        frame.keys.add(key)
        frame.key = key

    def _delimit(self, letter: str) -> None:
        if self._atom is not None:
            self._atom = None
            self._close()
        if letter == "," and self._frames:
            self._is_key = self._frames[-1].is_object
        elif letter in "]}" and self._frames:
            self._frames.pop()
            self._close()

    def _close(self) -> None:
        """A value is final."""
        self.num_closed += 1
        self.is_complete = not self._frames
