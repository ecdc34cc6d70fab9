"""Noise processes, solvers and the loop that samples, guidance, and windows over long videos."""
