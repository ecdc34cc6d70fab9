"""Stopping in good order."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def stop_signals() -> Iterator[list[str]]:
    """Yields a list into which the names of SIGINT and SIGTERM go, instead of ending the program.

    Each acts as usual the second time. Python handles signals in its main thread; in another, the list stays
    empty.
    """
    received: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def receive(number, _frame):
        name = signal.Signals(number).name
        received.append(name)
        signal.signal(number, before[number])
        # Not print: the signal may have come in the middle of one.
        os.write(2, f"\n{name}: finishing the step and saving; once more to stop at once\n".encode())

    for number in numbers:
        signal.signal(number, receive)
    try:
        yield received
    finally:
        for number in numbers:
            signal.signal(number, before[number])
