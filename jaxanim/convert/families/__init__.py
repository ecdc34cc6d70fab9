"""One table of names per kind of network, each turning the checkpoints' namings into diffusers'."""
