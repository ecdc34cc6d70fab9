"""PyTorch checkpoints to parameter trees and back."""
