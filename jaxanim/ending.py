"""How a program ends: what is wrong in one sentence with exit code 2, Ctrl-C in one line at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable

from jaxanim.errors import InputError
from jaxanim.media.files import remove_temporaries
from jaxanim.media.tell import forget

INTERRUPTED = 130


def ends_well(name: str, body: Callable[[], int | None]) -> int:
    """Calls a program's body and returns its exit code.

    An InputError, and a file that the system will not read or write, is a sentence on stderr and code 2; a
    KeyboardInterrupt a line and code 130.
    """
    forget()
    try:
        return body() or 0
    except InputError as error:
        sentence = str(error)
    except OSError as error:
        sentence = f"{error.filename or 'a file'} cannot be read or written: {error.strerror or error}"
    except KeyboardInterrupt:
        print(f"\n{name}: stopped", file=sys.stderr)
        return INTERRUPTED
    print(f"{name}: {' '.join(sentence.split())}", file=sys.stderr)
    return 2


def stop_at_once(name: str) -> None:
    """From here on Ctrl-C ends this process with one line, whatever it is doing, the compiler included.

    A KeyboardInterrupt is raised when Python runs again: after a compilation, which may take minutes, and maybe in
    the middle of a callback of XLA's, which then takes the process down with it. So a thread waits for the signal.
    It removes files that are half written; for programs that keep nothing else while they run.
    """
    asked, ask = os.pipe()
    os.set_blocking(ask, False)
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.set_wakeup_fd(ask, warn_on_full_buffer=False)

    def wait() -> None:
        os.read(asked, 1)
        remove_temporaries()
        sys.stdout.flush()
        os.write(2, f"\n{name}: stopped\n".encode())
        os._exit(INTERRUPTED)

    threading.Thread(target=wait, daemon=True).start()
