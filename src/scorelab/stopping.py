"""Signals that ask a process to stop: SIGTERM, and SIGUSR1 and SIGUSR2, by which a cluster tells that the time is over.

`heeded` makes an interrupt of them, as Ctrl-C is one. A training first comes to the end of its epoch, where it
writes a checkpoint: `deferred` says so. A second signal, a moment later, does not wait.
"""

import contextlib
import logging
import os
import signal
import threading
import time

log = logging.getLogger("scorelab")

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
#: seconds in which a signal that is sent again, as by each program of a chain, is the same one
SAME = 3.0


class Stopped(KeyboardInterrupt):
    """An interrupt by a signal. status: the exit status that the process ends with, as a shell gives it."""

    def __init__(self, signum: int):
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum
        self.status = 128 + signum


class _State:
    """Of this process. depth: how many blocks of `deferred` are entered. asked: the signal that waits for their end.
    since: when a signal came last."""

    process, depth, asked, since = 0, 0, None, -SAME


@contextlib.contextmanager
def heeded(force: bool = False):
    """Make an interrupt of `SIGNALS` in the block, in the main thread. force: also of those that somebody handles."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        _State.process = os.getpid()
        wanted = (each for each in SIGNALS if force or signal.getsignal(each) is signal.SIG_DFL)
        before = {each: signal.signal(each, _handle) for each in wanted}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _handle(signum, _):
    if os.getpid() != _State.process:  # a child that was forked ends as if there were no handler
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
        return
    before, _State.since = _State.since, time.monotonic()
    if _State.since - before < SAME:
        return
    if _State.depth and _State.asked is None:
        _State.asked = signum
        log.warning("%s: the training stops at the end of this epoch", signal.Signals(signum).name)
        return
    raise Stopped(signum)


@contextlib.contextmanager
def deferred(wanted: bool = True):
    """Let a signal wait; yields a function for a moment at which all can be saved: where a signal came, it calls what
    it is given, and raises `Stopped`. A signal that came after the last such moment is raised at the end of the block.

    wanted: whether there is such a moment; else no signal waits.
    """

    def stop_here(save):
        if _State.asked is not None:
            save()
            raise Stopped(_State.asked)

    _State.depth += wanted
    try:
        yield stop_here
    finally:
        _State.depth -= wanted
        asked, _State.asked = _State.asked, None
    if asked is not None:
        raise Stopped(asked)
