"""The last samples of every node. No I/O, no clock, no randomness."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable, Iterator, MutableMapping
from urllib.parse import urlsplit

from common.units import node_of


# Taking a URL apart costs microseconds, and every sample names its node.
@functools.lru_cache(maxsize=8192)
def node_key(node_url: str) -> str:
    """Return the one spelling of a node's URL: lower-case origin, path without a trailing slash.

    What is no URL is only stripped of trailing slashes: a name is as good a key as any.
    """
    try:
        parts = urlsplit(node_url)
    except ValueError:
        return node_url
    if not parts.scheme or not parts.netloc:
        return node_url.rstrip("/")
    return node_of(node_url) + parts.path.rstrip("/")


class Histories(MutableMapping[str, deque[float]]):
    """Samples by node, newest last, at most `history_size` each.

    Reading an unknown node makes an empty history, so that callers can append at once. Keys
    are taken in any spelling of the node's URL.
    """

    def __init__(self, history_size: int) -> None:
        self._history_size = history_size
        self._samples: dict[str, deque[float]] = {}

    def __getitem__(self, node_url: str) -> deque[float]:
        return self._samples.setdefault(node_key(node_url), deque(maxlen=self._history_size))

    def __setitem__(self, node_url: str, samples: Iterable[float]) -> None:
        self._samples[node_key(node_url)] = deque(samples, maxlen=self._history_size)

    def __delitem__(self, node_url: str) -> None:
        del self._samples[node_key(node_url)]

    def __contains__(self, node_url: object) -> bool:
        return isinstance(node_url, str) and node_key(node_url) in self._samples

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._samples))

    def __len__(self) -> int:
        return len(self._samples)

    def __repr__(self) -> str:
        return f"Histories({self._samples!r})"

    def samples(self, node_url: str) -> tuple[float, ...]:
        """Return a copy of a node's samples, oldest first, without making a history."""
        return tuple(self._samples.get(node_key(node_url), ()))
