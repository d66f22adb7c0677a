"""Worker processes that do not outlive the process that started them, and threads that do not wait for each other."""

import contextlib
import functools
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

#: seconds between two looks at the parent
LOOK = 1.0


@functools.cache
def end_with_parent():
    """End this process within about `LOOK` seconds after the process that started it is gone, even by SIGKILL.

    It does nothing in a process that `multiprocessing` or joblib did not start. The end is like a kill: files are whole
    or not there, and the kernel gives the locks back.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.pid, os.getppid()), daemon=True).start()


def _watch(parent: int, above: int):
    """above: the process above this one, which is not its parent where a server of processes forked it."""
    while os.getppid() == above and _exists(parent):
        time.sleep(LOOK)
    os._exit(1)


@contextlib.contextmanager
def side_by_side():
    """A function (function, items) -> [function(item) for item in items], which takes as many threads as torch may use,
    one for each item; meanwhile torch itself takes one thread for an operation.

    Threads that share every operation wait for each other some thousand times a second, which on a machine that does
    something else beside takes ten times as long; these wait once.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield lambda function, items: list(pool.map(function, items))
    finally:
        torch.set_num_threads(threads)


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
