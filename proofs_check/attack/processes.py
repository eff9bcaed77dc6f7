"""A fresh process for each attack: nothing that it compiled, cached or replaced is reused.

Processes are forked from a server that has imported the libraries but computed nothing, which saves the import time.
Programs that an attack does not affect come from a compilation cache on disk.
"""

import multiprocessing
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import jax

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["diffrax", "flax.nnx", "optax", "proofs_check.attack.formulas"])
_CACHE = tempfile.TemporaryDirectory(prefix="attack-", ignore_cleanup_errors=True)


def stream(task: Callable[..., Iterable[Any]], *arguments: Any, limits: Iterable[float]) -> Iterator[tuple[Any, float]]:
    """Run ``task(*arguments)`` in a fresh process, and yield its items with the processor time of each.

    ``limits`` holds the wall-clock limit of each item in seconds. An item that exceeds it is replaced by "timeout", and
    one that the process did not survive by "crash"; either ends the stream.
    """
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_serve, args=(sender, _CACHE.name, task, arguments), daemon=True)
    process.start()
    sender.close()
    try:
        receiver.recv()  # the process has started; a failure before this is the attack's own
        for limit in limits:
            if not receiver.poll(limit):
                yield "timeout", limit
                return
            try:
                item, seconds = receiver.recv()
            except EOFError:
                yield "crash", 0.0
                return
            if isinstance(item, RuntimeError):
                raise item
            yield item, seconds
    finally:
        process.kill()
        process.join()
        receiver.close()


def _serve(sender: Connection, cache: str, task: Callable[..., Iterable[Any]], arguments: tuple[Any, ...]) -> None:
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    sender.send(None)
    start = time.process_time()
    try:
        for item in task(*arguments):
            sender.send((item, time.process_time() - start))
            start = time.process_time()
    except Exception:  # exceptions of a check are outcomes and do not reach this
        sender.send((RuntimeError(traceback.format_exc()), 0.0))
