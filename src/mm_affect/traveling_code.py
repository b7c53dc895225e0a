# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Classes whose code can travel with a checkpoint."""


class TravelingCode:
    """Base of the configuration, model and processor classes, whose files lie in several folders here and flat beside a
    checkpoint."""

    @classmethod
    def register_for_auto_class(cls, *auto_class):
        """Register a class that was loaded from a checkpoint's own code, as transformers does.

        Raises:
            ValueError: the class is that of the installed package, of which transformers would copy only some of the files.
        """
        if cls.__module__.startswith("mm_affect."):
            raise ValueError(
                "`register_for_auto_class` copies the files of one folder only. To save a checkpoint with its code, save it, then "
                "call `mm_affect.checkpoints.remote_code.add_code(folder)`, or publish it by `mm-affect push --with-code`."
            )
        super().register_for_auto_class(*auto_class)
