"""Training tasks that several systems build on: the autoencoder and the text-conditioned base model."""
