# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect demo`: a local page that recognizes a clip and shows what the answer depends on.

clips (input) -> recognition (features once, then predictions) and attribution (which words and moments matter) ->
render_* (HTML) -> page (Gradio) -> serve. Only `page` and `serve` import Gradio (extra `demo`).
"""
