"""The one thread pool: lazy, sized as scikit-learn sizes OpenMP, serial when nested, made anew after a fork."""

import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache

from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_inside = threading.local()


def _forget_pool() -> None:
    global _pool, _lock
    _pool, _lock = None, threading.Lock()
    _blas.update(users=0, limit=None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _executor() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="sklearn_robust")
        return _pool


_blas = {"users": 0, "limit": None}


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    """Finding the loaded libraries takes milliseconds, limiting them microseconds."""
    return ThreadpoolController()


@contextmanager
def serial_blas():
    """One thread for each call of a BLAS, where more would wait for each other: in the pool, and on small matrices."""
    with _lock:
        _blas["users"] += 1
        if _blas["users"] == 1:
            _blas["limit"] = _controller().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _blas["users"] -= 1
            if _blas["users"] == 0:
                _blas["limit"].restore_original_limits()


def run_all(task, n_parts: int) -> None:
    """Call task(0) ... task(n_parts - 1), in as many threads as scikit-learn would use; whoever is free takes the next.

    So a thread that others hold up, or that is late, holds up nobody.
    """
    nested = n_parts == 1 or getattr(_inside, "pool", False)
    n_threads = 1 if nested else min(n_parts, _openmp_effective_n_threads())
    if n_threads <= 1:
        for part in range(n_parts):
            task(part)
        return

    waiting = deque(range(n_parts))
    tasks = [task]  # a thread of the pool may keep ``work`` for a while, but not the arrays that a task refers to

    def work() -> None:
        _inside.pool = True
        try:
            for part in _taken_from(waiting):
                tasks[0](part)
        except BaseException:
            waiting.clear()
            raise
        finally:
            _inside.pool = False

    others = [_executor().submit(work) for _ in range(1, n_threads)]
    try:
        work()
    finally:  # nobody may write to the buffers of a call that has ended
        others = [other for other in others if not other.cancel()]
        wait(others)
        tasks.clear()
    for other in others:
        other.result()


def _taken_from(waiting: deque) -> Iterator[int]:
    while True:
        try:
            part = waiting.popleft()
        except IndexError:
            return
        yield part
