"""A bounded, shared cache: what was used last stays, however many people visit."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Cache(Generic[Key, Value]):
    """Values under keys, up to a total `cost`; the one unused for longest goes first, and the newest never.

    Threads may share it. Two that miss the same key at once both make the value, and one of the two is kept.
    """

    def __init__(
        self,
        limit: float,
        cost: Callable[[Value], float] = lambda value: 1,
        drop: Callable[[Value], object] = lambda value: None,
    ) -> None:
        self.limit, self.cost, self.drop = limit, cost, drop
        self._entries: OrderedDict[Key, tuple[Value, float]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value under `key`, made and kept where there is none."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key][0]
        value = make()
        with self._lock:
            self._entries[key] = value, self.cost(value)
            self._entries.move_to_end(key)
        self._drop_oldest()
        return value

    def grow(self, key: Key, cost: float) -> None:
        """The value under `key` costs so much more than it did; nothing, where it is kept no more."""
        with self._lock:
            if key in self._entries:
                value, before = self._entries[key]
                self._entries[key] = value, before + cost
                self._entries.move_to_end(key)
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        gone = []
        with self._lock:
            while len(self._entries) > 1 and self.total > self.limit:
                gone.append(self._entries.popitem(last=False)[1][0])
        for old in gone:
            self.drop(old)

    @property
    def total(self) -> float:
        """The cost of all that is kept."""
        return sum(cost for _, cost in self._entries.values())

    def __len__(self) -> int:
        """How many values are kept."""
        return len(self._entries)
