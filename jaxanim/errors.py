"""The one exception that stands for bad input."""


class InputError(ValueError):
    """Input that a user gave and can mend: the message names the argument, its value and what would be right."""
