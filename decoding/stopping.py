"""Stop strings over a stream of text pieces."""

from collections.abc import Sequence


class StopStrings:
    """Lets text through until a stop string appears, also one that arrives in pieces.

    Text that may turn out to be the beginning of a stop string is held back.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.found: str | None = None

    def push(self, text: str) -> str:
        """Takes a piece and returns what may be shown. Sets `found` at the first stop string;
        the text from it on is dropped."""
        assert self.found is None, "text arrived after the stop"
        if not self._stops:
            return text
        text = self._held + text
        hits = [(text.find(stop), stop) for stop in self._stops if stop in text]
        if hits:
            end, self.found = min(hits, key=lambda hit: hit[0])
            self._held = ""
            return text[:end]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        shown, self._held = text[: len(text) - keep], text[len(text) - keep :]
        return shown

    def flush(self) -> str:
        """What was held back, once no more text can come."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a proper beginning of `stop`."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
