"""Serves the page: `python -m sample.page`."""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jaxanim.compiled import keep_compiled
from jaxanim.cpu import prepare_cpu
from jaxanim.errors import InputError
from sample.animate import REPOSITORY
from sample.arguments import Parser, run, whole
from sample.page.jobs import Jobs

LARGEST = "512mb"
"""Of an uploaded file."""


def parser() -> Parser:
    """The program's options."""
    options = Parser("sample.page", description=__doc__, allow_abbrev=False)
    add = options.add_argument
    add("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 lets others in (default: %(default)s)")
    add("--port", type=whole(1, 65535), default=7860, help="(default: %(default)s)")
    add("--weights", default=str(REPOSITORY / "weights"), help="folder with a weights folder for each system")
    add("--models", help="folder with the detectors' files, for ordinary videos")
    return options


def serve(argv: Sequence[str] | None = None) -> None:
    """The program; it ends with Ctrl-C, and its folder of uploads and results goes with it."""
    options = parser().parse_args(argv)
    # Nothing is told to anybody; before Gradio is imported, for it asks then.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    with tempfile.TemporaryDirectory(prefix="jaxanim-page-") as root:
        os.environ["GRADIO_TEMP_DIR"] = str(Path(root, "uploads"))
        try:
            from sample.page.app import build
        except ImportError:
            raise InputError("the page needs Gradio, which is not installed: install jaxanim[page]") from None
        jobs = Jobs(Path(root))
        page = build(jobs, Path(options.weights), options.models)
        page.queue(default_concurrency_limit=None)
        try:
            page.launch(
                server_name=options.host,
                server_port=options.port,
                allowed_paths=[root],
                max_file_size=LARGEST,
                share=False,
                ssr_mode=False,
            )
        except OSError as error:
            raise InputError(f"--port {options.port}: {error}") from None
        finally:
            jobs.close()
            page.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run(serve, "sample.page", argv)


if __name__ == "__main__":
    prepare_cpu()
    keep_compiled(sys.argv)
    sys.exit(main())
