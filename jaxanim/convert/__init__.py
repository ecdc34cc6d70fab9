"""PyTorch checkpoints to weights folders, one tensor at a time.

source.py      files and folders, whole or in shards; torch_file.py reads PyTorch's own without running them
parts.py       which networks a file holds, told by its names
families/      per kind of network what it is told by, its names and who infers its config
infer.py       configs from shapes
systems.py     which networks make a whole
plan.py        every tensor to one leaf, every leaf filled, every shape checked
layout.py      the rule between PyTorch's layout and a parameter tree
program.py     `convert`; `python -m jaxanim.convert --help`
"""
