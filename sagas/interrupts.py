"""Telling a person's Ctrl-C from a `KeyboardInterrupt` that some code raises."""

from __future__ import annotations

import signal
import threading


def may_be_ctrl_c() -> bool:
    """Tell whether a `KeyboardInterrupt` here can come from a signal.

    Only in the main thread, and only while Python's own handler is in place: `asyncio.run` has another one,
    which cancels its task.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler
