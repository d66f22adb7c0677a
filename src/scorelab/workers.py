"""Worker processes that do not outlive the process that started them."""

import functools
import multiprocessing
import os
import threading
import time

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


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
