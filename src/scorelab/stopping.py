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

    def __reduce__(self):
        return Stopped, (self.signum,)


class _State:
    """Of this process. depth: how many blocks of `deferred` are entered. asked: the signal that waits for their end.
    since: when a signal came last. pass_on: what is called with a signal before `Stopped` is raised. over: the signal
    that this process was stopped by."""

    process, depth, asked, since, pass_on, over = 0, 0, None, -SAME, None, None


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
    pass_on, _State.pass_on = _State.pass_on, None
    if pass_on is not None:
        pass_on(signum)
    _stop(signum)


def _stop(signum):
    _State.over = signum
    raise Stopped(signum)


@contextlib.contextmanager
def passed_on(function):
    """Call a function with the signal before the block ends by one, as for processes that work for this one."""
    _State.pass_on, _State.over = function, None
    try:
        yield
    finally:
        _State.pass_on = None


def require_going():
    """Raise `Stopped` in a process that was stopped already, as a worker that takes its next job."""
    if _State.over is not None:
        raise Stopped(_State.over)


@contextlib.contextmanager
def deferred(wanted: bool = True):
    """Let a signal wait; yields a function for a moment at which all can be saved: where a signal came, it calls what
    it is given, and raises `Stopped`. A signal that came after the last such moment is raised at the end of the block.

    wanted: whether there is such a moment; else no signal waits.
    """

    def stop_here(save):
        if _State.asked is not None:
            save()
            _stop(_State.asked)

    _State.depth += wanted
    try:
        yield stop_here
    finally:
        _State.depth -= wanted
        asked, _State.asked = _State.asked, None
    if asked is not None:
        _stop(asked)
