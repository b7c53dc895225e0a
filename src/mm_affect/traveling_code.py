# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Classes whose code can travel with a checkpoint."""


class TravelingCode:
    """Base of configuration, model and processor classes whose code can be saved beside a checkpoint.

    Their files are in several folders in the package and in one folder beside a checkpoint.
    """

    @classmethod
    def register_for_auto_class(cls, *auto_class):
        """Register a class that was loaded from the code of a checkpoint, as transformers does.

        Raises:
            ValueError: the class belongs to the installed package, of which transformers would copy only some files.
        """
        if cls.__module__.startswith("mm_affect."):
            raise ValueError(
                "`register_for_auto_class` copies files of one folder only. To save a checkpoint with its code, save it and call "
                "`mm_affect.checkpoints.remote_code.add_code(folder)`, or run `mm-affect push --with-code`."
            )
        super().register_for_auto_class(*auto_class)  # type: ignore[misc]  # of the class that this is mixed into
