# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A model's page, opened: what `mm-affect demo` and the Space call."""

import re
from pathlib import Path

from .clips import load_samples
from .model_info import read_model_info
from .recognition import Recognizer


DEFAULT_MODEL = Path("demo_output/run")
DEFAULT_SAMPLES = Path("demo_output/corpus")
LARGEST_FILE = "500mb"
NO_PORT = re.compile(r"Cannot find empty port in range: (\d+)-(\d+)")  # what Gradio says when it could open none
STYLE = Path(__file__).with_name("style.css")
FONTS = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}  # nothing is fetched


def open_demo(
    model: str | None = None,
    samples: str | Path | None = None,
    port: int | None = None,
    browser: bool = False,
    block: bool = True,
):
    """Serve the page of a model until interrupted.

    Args:
        model: folder of a checkpoint, or its name on the Hub; default: what `make demo` trained.
        samples: folder of a corpus whose clips can be picked; default: that of `make demo`, if it is there.
        port: default: the first that is free from `GRADIO_SERVER_PORT` on, or from 7860.
        browser: whether to open a browser.
        block: False returns at once, and the page is served until `close()`.

    Returns: the page, a `gradio.Blocks`; its `local_url` is where it is served.

    Raises:
        ImportError: without Gradio.
        OSError, ValueError: no model, no samples there, or no port can be opened.
    """
    try:
        import gradio
    except ImportError as error:
        raise ImportError("The demo needs Gradio: pip install 'mm_affect[demo]'.") from error
    from accelerate import PartialState

    from ...checkpoints.loading import load_checkpoint
    from .page import build_page

    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"The port is {port}; give a number from 1 to 65535.")
    if model is None:
        if not DEFAULT_MODEL.is_dir():
            raise FileNotFoundError(
                f"There is no model at {DEFAULT_MODEL}: run `make demo` to train one, or give the folder or Hub name of "
                "another with --model."
            )
        model = str(DEFAULT_MODEL)
    if samples is None and DEFAULT_SAMPLES.is_dir():
        samples = DEFAULT_SAMPLES
    found = load_samples(samples) if samples is not None else []
    network, processor = load_checkpoint(model, attn_implementation="eager")  # it keeps the weights
    network = network.to(PartialState().device)
    page = build_page(Recognizer(network, processor), read_model_info(model, network), found)
    try:
        page.launch(
            server_port=port,
            inbrowser=browser,
            prevent_thread_lock=True,
            share=False,
            quiet=True,
            theme=gradio.themes.Soft(primary_hue="blue", **FONTS),
            css_paths=[STYLE],
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            max_file_size=LARGEST_FILE,
            allowed_paths=[sample.clip.path for sample in found],
        )
    except OSError as error:
        tried = NO_PORT.match(str(error))
        if tried is None:  # something else went wrong
            raise
        first, last = tried.groups()
        ports = f"Port {first}" if first == last else f"Every port from {first} to {last}"
        raise OSError(f"{ports} is taken or not permitted; give another with --port.") from error
    if block:
        print(f"Demo: {page.local_url} (Ctrl-C ends it)", flush=True)
        page.block_thread()
    return page
