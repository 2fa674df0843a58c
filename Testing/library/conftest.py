"""Fixtures that the library's tests share. Heavy packages are imported where they are used: collecting needs none."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parents[2]
STS_FOLDER = REPOSITORY.parent / "shared" / "data" / "sts"
BUNDLE_SEED = 20240601
THREADS = 2

# Before torch is loaded: tests run beside other work and must not ask for every core.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, str(THREADS))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait must not burn the core that another one needs
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell in the background; what tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
for _folder in ("CHMFLPredictor", "CHMFLTraining", "Testing"):
    _path = str(REPOSITORY / _folder)
    if _path not in sys.path:
        sys.path.insert(0, _path)


settings.register_profile("repeatable", derandomize=True)  # a test that fails, fails again
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def limited_threads():
    """Let SimpleITK and (where a test loads it) torch use no more than two threads."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(THREADS)
    yield


def choose_precision(patch: pytest.MonkeyPatch, bfloat16: bool) -> None:
    """Let all that runs in this process on a CPU compute in bfloat16, emulated where the processor lacks it, or all in
    float32: what a test finds is then the same on every processor.
    """
    from CHMFLPredictorLib.network import engine_openvino, engines
    from CHMFLTrainingLib.training import speed

    patch.setattr(engines, "_cpu_has_bfloat16", lambda: bfloat16)
    patch.setattr(engine_openvino, "has_bfloat16", lambda: bfloat16)
    patch.setattr(speed, "in_bfloat16", lambda device, precision="auto": bfloat16 and device.type == "cpu")


@pytest.fixture(scope="module")
def float32():
    """For a module whose numbers are compared more strictly than bfloat16 rounds: float32, whatever the processor."""
    with pytest.MonkeyPatch.context() as patch:
        choose_precision(patch, bfloat16=False)
        yield


@pytest.fixture
def bfloat16(monkeypatch):
    """bfloat16, whatever the processor, within the test."""
    choose_precision(monkeypatch, bfloat16=True)


@pytest.fixture(scope="session")
def phantom(tmp_path_factory) -> Path:
    """Folder with the digital thigh: PET.nii.gz (SUV), CT.nii.gz (HU) and mask.nii.gz (tumor, CT grid)."""
    from CHMFLPredictorLib.phantom.phantom import write_phantom

    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder)
    return folder


@pytest.fixture(scope="session")
def sts() -> Path:
    """Folder of the soft-tissue-sarcoma cohort, which is never part of the repository."""
    if not (STS_FOLDER / "clinical.csv").is_file():
        pytest.skip("the patients are not here: no ../shared/data/sts beside the repository")
    return STS_FOLDER


def make_card(preset) -> dict:
    """Return a complete card of an untrained two-member model of a preset."""
    return {
        "schema_version": 1,
        "name": "tiny",
        "version": "0.0.1",
        "method": "CHMFL",
        "network": preset.network.to_dict(),
        "preprocessing": preset.preprocessing.to_dict(),
        "members": 2,
        "training": {
            "cohort": "none: random weights for tests",
            "citation": "none",
            "patients": 0,
            "folds": 0,
            "epochs": 0,
        },
        "metrics": {
            "out_of_fold": {"auc": 0.5, "auc_ci": [0.35, 0.65], "accuracy": 0.5},
            "baseline": {"auc": 0.8, "auc_ci": [0.67, 0.91], "accuracy": 0.73},
        },
        "calibration": {"slope": 1.0, "intercept": 0.0, "bootstrap": [[0.8, -0.1], [1.0, 0.0], [1.2, 0.1]]},
        "threshold": {"value": 0.5, "chosen_by": "fixed"},
        "baseline": {
            "name": "uptake in the box",
            "feature": "log_sum_suv_above_2",
            "mean": 6.0,
            "scale": 1.5,
            "slope": 1.0,
            "intercept": 0.0,
        },
        "out_of_fold": {"risk": [0.1, 0.3, 0.5, 0.7, 0.9, 0.6], "dm": [0, 0, 0, 1, 1, 1]},
        "input_ranges": {},
        "license": "Apache-2.0",
    }


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory) -> Path:
    """Folder of a valid, untrained bundle: two seeded networks of the ``smoke`` preset."""
    import torch
    from CHMFLPredictorLib.model.bundle import save_bundle
    from CHMFLPredictorLib.network.chmfl import build_network
    from CHMFLPredictorLib.network.presets import PRESETS

    torch.set_num_threads(THREADS)
    preset = PRESETS["smoke"]
    members = []
    for index in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(BUNDLE_SEED + index)
            members.append(build_network(preset.network).eval().state_dict())
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_bundle(folder, make_card(preset), members)
    return folder


@pytest.fixture
def pet(tmp_path) -> Path:
    """A small synthetic PET as a file."""
    from made_volumes import make_pet, save

    return save(make_pet(), tmp_path / "PET.nii.gz")


@pytest.fixture
def ct(tmp_path) -> Path:
    """A small synthetic CT over the same body as a file."""
    from made_volumes import make_ct, save

    return save(make_ct(), tmp_path / "CT.nii.gz")
