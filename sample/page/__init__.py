"""A page in the browser that animates: `make page`, or `python -m sample.page`; needs the extra `page` (Gradio).

jobs.py   one job at a time, the others in line, each in a folder of its own that goes with it
work.py   what a job does: the sampling program's own call
app.py    the page
"""
