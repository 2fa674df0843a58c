"""What has to hold of every method holds of one row of each family; and the check finds what does not."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace

import nearest_age
import numpy as np
import pytest
from CHMFLPredictorLib.errors import BadInput
from CHMFLTrainingLib import methods as package
from CHMFLTrainingLib.commands.cli import main
from CHMFLTrainingLib.features import radiomics
from CHMFLTrainingLib.methods import registry
from CHMFLTrainingLib.methods.check import CHECKS, check_method
from CHMFLTrainingLib.training.settings import Settings
from nearest_age import NearestAge
from tiny_presets import tiny_presets

LEARNS = "learns a planted signal"
SIMPLE = ("Volume + SUVmax", "TLG", "Uptake", "Clinical", "Cox volume + SUVmax")
NETWORKS = {
    "CNLPC": {"epochs": 15},
    "3DMCL": {"epochs": 5},
    "MOR + 3D CNNs": {"epochs": 10},
    "2D-CNN-PET-CT": {"epochs": 10, "learning_rate": 0.003},
    "ResNet18-PET-CT": {"epochs": 6, "learning_rate": 0.001},
}
TINY = {name: {"epochs": 14, "batch_size": 4} for name in ("CHMFL", "Mask + HMFL")}
# its learning is looked at elsewhere: V-net's of the tumor, CHMFL + Cox's of the times (test_chmfl_family.py)
SEGMENTERS = ("V-net", "CHMFL + Cox")


@pytest.fixture(scope="module", autouse=True)
def quick():
    """One thread, and intensity statistics only: texture takes a second a patient."""
    import torch

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        smoke = replace(radiomics.RADIOMICS_PRESETS["smoke"], families=("statistics",))
        patch.setitem(radiomics.RADIOMICS_PRESETS, "smoke", smoke)
        yield


@pytest.fixture(autouse=True)
def _shipped_only(monkeypatch):
    monkeypatch.setattr(package, "__path__", package.__path__[:1])


def failures(method, options=None, checks=CHECKS):
    """The checks that do not hold, with their reasons."""
    found = check_method(method, Settings("smoke", seed=3, options=options or {}), checks)
    assert [one.check for one in found] == list(checks) and all(one.holds == (not one.reason) for one in found)
    return {one.check: one.reason for one in found if not one.holds}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SIMPLE, pytest.param("HC + RF", marks=pytest.mark.slow)])
def test_all_holds_of_the_simple_methods(name):
    assert failures(registry.find(name)[0], {"modalities": ["pet"]} if name == "HC + RF" else {}) == {}


@pytest.mark.slow
@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("name", [*NETWORKS, *TINY])
def test_all_holds_of_the_networks(name):
    with tiny_presets() if name in TINY else nullcontext():
        assert failures(registry.find(name)[0], (NETWORKS | TINY)[name]) == {}


@pytest.mark.slow
@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("name", SEGMENTERS)
def test_all_but_learning_holds_where_a_segmentation_comes_first(name):
    with tiny_presets():
        checks = [check for check in CHECKS if check != LEARNS]
        assert failures(registry.find(name)[0], {"epochs": 2, "batch_size": 4}, checks) == {}


def test_the_control_holds_but_for_learning():
    found = failures(registry.find("Permuted labels")[0], {"of": "Volume + SUVmax"})
    assert found.keys() == {LEARNS}


# What does not hold ---------------------------------------------------------------------------------------------------


class Guesses(NearestAge):
    """Learns nothing."""

    def predict(self, cases):
        return np.full(len(cases), 0.5)


class ReadsTreatment(NearestAge):
    """Knows the outcome from what follows it."""

    def predict(self, cases):
        return np.array([float("Chemo" in case.clinical["treatment"]) for case in cases])


class Forgets(NearestAge):
    """Its files lack what was fitted."""

    def restore(self, state, folder):
        self.ages, self.labels = np.array(state["ages"]), np.zeros(len(state["labels"]), int)


class Pickles(NearestAge):
    """Saves what runs code as it is read."""

    def state(self, folder):
        (folder / "model.pkl").write_bytes(b"")
        return super().state(folder)


class HidesAnOption(NearestAge):
    """Reads an option that a run would refuse."""

    def fit(self, cases, folder, on_progress=None):
        self.settings.options.get("metric")
        super().fit(cases, folder)


class TakesAnything(NearestAge):
    """Declares an option without type and limits."""

    OPTIONS = frozenset({"metric"})


class LooksAround(NearestAge):
    """Judges patients by those beside them."""

    def predict(self, cases):
        risks = super().predict(cases)
        return np.clip(0.5 + risks - risks.mean(), 0, 1)


class TooSure(NearestAge):
    """Risks above 1."""

    def predict(self, cases):
        return 2 * super().predict(cases)


class Unnamed(NearestAge):
    """Says nothing of itself."""

    SOURCE = ""


class Breaks(NearestAge):
    """Fails."""

    def fit(self, cases, folder, on_progress=None):
        raise ZeroDivisionError("no reason")


WRONG = {
    Guesses: (LEARNS, "AUC of new patients is 0.50"),
    ReadsTreatment: ("stays at chance on permuted labels", "AUC of new patients is 1.00"),
    Forgets: ("survives save and restore", "other risks"),
    Pickles: ("survives save and restore", ".pkl"),
    HidesAnOption: ("refuses unknown options", "metric"),
    TakesAnything: ("refuses unknown options", "metric may be anything"),
    LooksAround: ("sees only training patients", "patients beside"),
    TooSure: (LEARNS, "risk from 0 to 1"),
    Unnamed: ("describes itself", "SOURCE"),
    Breaks: ("sees only training patients", "ZeroDivisionError: no reason"),
}


@pytest.mark.parametrize("method", WRONG)
def test_what_does_not_hold_is_found(method):
    check, reason = WRONG[method]
    assert reason in failures(method)[check]


# The example, and the command -----------------------------------------------------------------------------------------


def test_the_example_is_a_method_as_it_stands(tmp_path, capsys):
    file = shutil.copy(nearest_age.__file__, tmp_path / "an_example.py")
    assert main(["methods", "--check", str(file)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [f"Nearest age {check}: yes" for check in CHECKS]
    assert registry.find("nearest age")[0].OPTIONS == {"neighbors"}


def test_the_command_ends_with_2_where_something_does_not_hold(tmp_path, capsys):
    text = open(nearest_age.__file__, encoding="utf-8").read()
    (tmp_path / "a_guess.py").write_text(text + "\n\nNearestAge.SOURCE = ''\n", encoding="utf-8")
    assert main(["methods", "--progress", "json", "--check", str(tmp_path / "a_guess.py")]) == 2
    findings = json.loads(capsys.readouterr().out.splitlines()[-1])["findings"]
    assert [one["check"] for one in findings if not one["holds"]] == ["describes itself"]


@pytest.mark.parametrize("file", ["absent.py", "empty.py", "simple.py"])
def test_a_file_without_methods_of_its_own_is_refused(file, tmp_path):
    for name in ("empty.py", "simple.py"):  # the latter has the name of a file of the library
        (tmp_path / name).touch()
    with pytest.raises(BadInput) as refused:
        registry.methods_of(tmp_path / file)
    assert refused.value.code == "methods_file"
