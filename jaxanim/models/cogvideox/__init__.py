"""CogVideoX 1.5 (Yang et al. 2024): transformer and causal video autoencoder, with diffusers' names."""
