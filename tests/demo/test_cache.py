import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from engine.demo.cache import Cache
from engine.demo.cores import Cores


def test_the_cache_makes_a_value_once_and_forgets_the_one_unused_for_longest() -> None:
    made: list[str] = []
    dropped: list[str] = []

    def value(name: str) -> str:
        return cache.get(name, lambda: made.append(name) or name)  # type: ignore[func-returns-value]

    cache: Cache[str, str] = Cache(10, cost=len, drop=dropped.append)
    assert [value(name) for name in ("aaaa", "bbbb", "aaaa", "cccc", "aaaa", "bbbb")] == [
        "aaaa", "bbbb", "aaaa", "cccc", "aaaa", "bbbb",
    ]  # fmt: skip
    assert made == ["aaaa", "bbbb", "cccc", "bbbb"]
    assert dropped == ["bbbb", "cccc"]
    assert (len(cache), cache.total) == (2, 8)


def test_the_cache_keeps_a_value_that_is_larger_than_all_its_room() -> None:
    cache: Cache[str, str] = Cache(3, cost=len)
    cache.get("small", lambda: "x")
    assert cache.get("large", lambda: "xxxxx") == cache.get("large", lambda: "made again")
    assert len(cache) == 1


def test_who_is_alone_has_all_cores_and_of_several_each_has_one() -> None:
    cores, both = Cores(2), threading.Barrier(2)
    assert cores.run(torch.get_num_threads) == 2

    def meet() -> int:
        both.wait(10)
        return torch.get_num_threads()

    with ThreadPoolExecutor(2) as visitors:
        asked = [visitors.submit(cores.run, meet) for _ in range(2)]
        assert sorted(found.result() for found in asked) == [1, 2]  # the one who came first was alone then
    with pytest.raises(ZeroDivisionError):
        cores.run(lambda: 1 // 0)
    assert cores._idle == {0, 1}
