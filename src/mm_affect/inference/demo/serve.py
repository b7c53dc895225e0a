# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The server of the demo page, for `mm-affect demo` and the Space."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from .clips import load_samples
from .model_info import read_model_info
from .recognition import Recognizer


if TYPE_CHECKING:
    from gradio import Blocks

DEFAULT_MODEL = Path("demo_output/run")
DEFAULT_SAMPLES = Path("demo_output/corpus")
MAX_FILE_SIZE = "500mb"
NO_FREE_PORT = re.compile(r"Cannot find empty port in range: (\d+)-(\d+)")  # Gradio's message
STYLE = Path(__file__).with_name("style.css")
FONT, FONT_MONO = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]  # of the system: none is downloaded


def open_demo(
    model: str | None = None,
    samples: str | Path | None = None,
    port: int | None = None,
    browser: bool = False,
    block: bool = True,
) -> "Blocks":
    """Serve the page of a model until interrupted.

    Args:
        model: folder of a checkpoint, or its Hub name; default: the model that `make demo` trains.
        samples: folder of a corpus whose clips can be picked; default: the corpus of `make demo`, if it exists.
        port: port of the server; default: the first free one from `GRADIO_SERVER_PORT`, or from 7860.
        browser: open the page in a browser.
        block: wait until interrupted; if False, return at once, and serve the page until `close()`.

    Returns:
        The page; its `local_url` is the address.

    Raises:
        ImportError: If Gradio is not installed.
        OSError, ValueError: If the model or the samples cannot be loaded, or no port is free.
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
    clips = load_samples(samples) if samples is not None else []
    network, processor = load_checkpoint(model, attn_implementation="eager")  # eager attention returns its weights
    network = network.to(PartialState().device)
    page = build_page(Recognizer(network, processor), read_model_info(model, network), clips)
    try:
        page.launch(
            server_port=port,
            inbrowser=browser,
            prevent_thread_lock=True,
            share=False,
            quiet=True,
            theme=gradio.themes.Soft(primary_hue="blue", font=FONT, font_mono=FONT_MONO),
            css_paths=[STYLE],
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            max_file_size=MAX_FILE_SIZE,
            allowed_paths=[sample.clip.path for sample in clips if sample.clip.path],
        )
    except OSError as error:
        ports = NO_FREE_PORT.match(str(error))
        if ports is None:
            raise
        first, last = ports.groups()
        busy = f"Port {first}" if first == last else f"Every port from {first} to {last}"
        raise OSError(f"{busy} is taken or not permitted; give another with --port.") from error
    if block:
        print(f"Demo: {page.local_url} (press Ctrl-C to stop)", flush=True)
        page.block_thread()
    return page
