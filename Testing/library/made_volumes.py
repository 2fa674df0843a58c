"""Synthetic PET and CT, and what tests of reading share."""

import numpy as np
import pytest
import SimpleITK as sitk
from CHMFLPredictorLib.errors import BadInput


def make_image(values, spacing=(4.0, 4.0, 3.0), origin=(-80.0, -60.0, 10.0), direction=None):
    image = sitk.GetImageFromArray(np.asarray(values))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(np.asarray(direction, float).ravel().tolist())
    return image


def make_pet(shape=(20, 30, 40), seed=1):
    rng = np.random.default_rng(seed)
    values = rng.gamma(1.5, 0.4, shape).astype(np.float32)
    values[8:12, 10:16, 12:20] += 9
    return make_image(values)


def make_ct(seed=2):
    """Air around tissue, on a finer grid over the same body as ``make_pet``."""
    rng = np.random.default_rng(seed)
    values = rng.normal(20, 30, (20, 60, 80))
    values[:, :15] = -1000
    return make_image(values.round().astype(np.int16), (2.0, 2.0, 3.0), (-81.0, -61.0, 10.0))


def refusal(read, *paths, **options):
    with pytest.raises(BadInput) as caught:
        read(*paths, **options)
    error = caught.value
    assert error.exit_code == 2
    assert error.hint.strip() and error.message.strip(), "an error says what is wrong and what to do"
    return error


def save(image, path):
    sitk.WriteImage(image, str(path))
    return path


def codes(warnings):
    return [warning["code"] for warning in warnings]
