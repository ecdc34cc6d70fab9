"""One network (or one part of a network) per file."""
