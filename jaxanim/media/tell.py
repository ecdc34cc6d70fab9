"""What a user should know although nothing is wrong: one line on stderr, once in a program's run."""

import functools
import sys


@functools.lru_cache(maxsize=1024)
def tell(message: str) -> None:
    """Prints `message` on stderr, unless it has been told already since the program began."""
    print(message, file=sys.stderr)


forget = tell.cache_clear
"""From here on everything is told again."""
