"""The presets ``smoke`` and ``compact`` with three levels of 16 x 16 x 16 voxels: the same roads, little work."""

from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest


@contextmanager
def tiny_presets():
    """While it lasts, networks and trainings of the two presets are tiny."""
    from CHMFLPredictorLib.network.presets import PRESETS, Preset
    from CHMFLTrainingLib.training import head
    from CHMFLTrainingLib.training.config import TRAINING_PRESETS

    smoke = PRESETS["smoke"]
    tiny = Preset(
        replace(smoke.network, input_size=(16, 16, 16), channels=(4, 8, 16), decoder_convolutions=(1, 1)),
        replace(smoke.preprocessing, voxel_mm=9.0, size_voxels=(16, 16, 16)),
    )
    quick = partial(head.HeadConfig, views=2, steps=80, decays=(1.0, 30.0), inner_folds=2)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("smoke", "compact"):
            patch.setitem(PRESETS, name, tiny)
        patch.setitem(TRAINING_PRESETS, "compact", replace(TRAINING_PRESETS["compact"], epochs=3, batch_size=4))
        patch.setattr(head, "HeadConfig", quick)  # of the staged row
        yield
