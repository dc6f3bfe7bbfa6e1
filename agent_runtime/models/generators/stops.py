"""Strings that end a reply, wherever the tokens of a model divide them."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Passes text on until a stop string comes, which is not passed on."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._text = ""
        self.met = False

    def feed(self, text: str) -> str:
        """Return what can be shown: what may be the beginning of a stop string waits."""
        if self.met:
            return ""
        if not self._stops:
            return text
        self._text += text
        found = [at for stop in self._stops if (at := self._text.find(stop)) >= 0]
        if found:
            self.met = True
            return self._text[: min(found)]
        keep = held_back(self._text, self._stops)
        shown, self._text = self._text[: len(self._text) - keep], self._text[-keep:] if keep else ""
        return shown

    def end(self) -> str:
        """Return what waited, where no stop string came of it."""
        return "" if self.met else self._text


def held_back(text: str, strings: Sequence[str]) -> int:
    """Return how many characters at the end of a text may begin one of the strings."""
    longest = max((len(string) for string in strings), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        end = text[-length:]
        if any(string.startswith(end) for string in strings):
            return length
    return 0
