"""Training: one loop for every task, with exact resume.

`task.Task` is what a system implements, `experiment.Experiment` how it is trained, `loop.train` what trains
it.
"""
