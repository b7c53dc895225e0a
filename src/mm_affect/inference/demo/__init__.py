# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect demo`: a local page on which a clip is recognized, and shown why.

clips (what a visitor gives) -> recognition (features once, then answers) and marks (which word, which moment) ->
drawings (HTML) -> page (Gradio) -> serve. Only `page` and `serve` know Gradio (extra `demo`).
"""
