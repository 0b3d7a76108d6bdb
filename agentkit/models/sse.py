"""Server-sent events (WHATWG HTML, section 9.2.6), from pieces of bytes split anywhere."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class EventParser:
    """Gives the data of each event that is complete; names, ids and comments are passed over.

    An event that is not ended by a blank line is never given, as the standard asks.
    """

    _line: bytes = b""
    _data: list[str] = field(default_factory=list)
    _after_cr: bool = False
    _begun: bool = False

    def push(self, piece: bytes) -> Iterator[str]:
        """Takes the next bytes of the stream."""
        if not piece:
            return
        # A line may end in CR LF, and the piece between them.
        rest = piece[1:] if self._after_cr and piece.startswith(b"\n") else piece
        self._after_cr = piece.endswith(b"\r")
        *lines, self._line = _LINE_END.split(self._line + rest)
        for line in lines:
            if not self._begun:
                self._begun, line = True, line.removeprefix(_BOM)
            if line:
                self._take(line)
            elif self._data:
                yield "\n".join(self._data)
                self._data.clear()

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" ").decode("utf-8", "replace"))
