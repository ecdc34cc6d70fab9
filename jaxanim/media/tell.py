"""What a user should know although nothing is wrong: one line on stderr, once."""

import functools
import sys


@functools.lru_cache(maxsize=1024)
def tell(message: str) -> None:
    """Prints `message` on stderr, unless it has been told already."""
    print(message, file=sys.stderr)
