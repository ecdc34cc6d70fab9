"""jaxanim: still images made to move, in JAX."""
