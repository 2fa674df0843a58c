"""From a hospital's DICOM to the risk: a PET in Bq/ml, loaded as Slicer's DICOM module loads it, and one click."""

import time

import numpy as np
import pytest
import slicer
import slicer_standin
from conftest import REPOSITORY

# of made_dicom's header: dose decayed over the hour between injection and scan, by the patient's weight
BQML_PER_SUV = 350e6 * 2 ** (-3600 / 6586.2) / 70e3


@pytest.fixture
def widget():
    module = slicer_standin.add_module(REPOSITORY / "CHMFLPredictor" / "CHMFLPredictor.py")
    representation = module.widgetRepresentation()
    if not representation.isEntered:
        representation.enter()
    yield slicer.modules.CHMFLPredictorWidget
    slicer_standin.remove_module("CHMFLPredictor")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The phantom as a DICOM study: CT in HU, PET in Bq/ml."""
    pytest.importorskip("pydicom")
    from CHMFLPredictorLib.phantom.phantom import make_phantom

    phantom, folder = make_phantom(), tmp_path_factory.mktemp("study")
    write_series(folder / "PT", "PT", phantom.pet, BQML_PER_SUV)
    write_series(folder / "CT", "CT", phantom.ct, 1.0)
    return folder


def write_series(folder, modality, image, factor):
    """Write a SimpleITK image (axes along L, P, S) as DICOM slices."""
    import made_dicom
    import SimpleITK as sitk
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    assert image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    values = sitk.GetArrayFromImage(image) * factor
    slope = max(values.max() / 32000, 1e-6) if modality == "PT" else 1.0
    spacing, origin = image.GetSpacing(), image.GetOrigin()
    folder.mkdir()
    for index, plane in enumerate(values):
        one = made_dicom.header(modality)
        one.SOPInstanceUID = f"{one.SeriesInstanceUID}.{index + 1}"
        one.InstanceNumber = index + 1
        one.PixelSpacing, one.SliceThickness = [spacing[1], spacing[0]], spacing[2]
        one.ImagePositionPatient = [origin[0], origin[1], origin[2] + index * spacing[2]]
        one.RescaleSlope, one.RescaleIntercept = f"{slope:.10g}", 0
        one.Rows, one.Columns = plane.shape
        one.PixelData = np.round(plane / slope).astype("<i2").tobytes()
        one.file_meta = FileMetaDataset()
        one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.save_as(folder / f"{index:03d}.dcm", enforce_file_format=True)


def predict(widget):
    """Click and wait; returns the result."""
    widget.ui.riskOnlyCheckBox.checked = True
    assert widget.ui.predictButton.enabled, widget.ui.pairLabel.text
    widget.ui.predictButton.click()
    until = time.monotonic() + 120
    while widget.panel.state.busy:
        assert time.monotonic() < until, widget.ui.logTextEdit.plainText
        slicer.app.processEvents()
        time.sleep(0.01)
    assert widget.panel.state.ending == "done", widget.ui.stageLabel.text
    return widget.panel.follower.run.prediction.result


@pytest.mark.slow
def test_bqml_from_the_dicom_module_predicts_as_suv_does(widget, study):
    from CHMFLPredictorLib.scene import samples
    from slicer_standin.dicom_database import load_series

    widget.panel._parameterNode.pet, widget.panel._parameterNode.ct = samples.load_sample("Phantom")
    in_suv = predict(widget)

    pet, ct = load_series(study / "PT"), load_series(study / "CT")
    before = slicer.util.arrayFromVolume(pet).copy()
    assert before.max() > 1000 and pet.GetVoxelValueUnits() is None  # Bq/ml, and nothing in the scene says so
    widget.panel._parameterNode.pet, widget.panel._parameterNode.ct = pet, ct
    assert "Bq/ml" in widget.ui.pairLabel.text and "converted" in widget.ui.pairLabel.text
    from_dicom = predict(widget)

    assert from_dicom["risk"] == pytest.approx(in_suv["risk"], abs=0.005)
    assert "pet_converted_to_suv" in {one["code"] for one in from_dicom["warnings"]}
    assert "350" in widget.ui.warningsLabel.text and "70" in widget.ui.warningsLabel.text  # dose and weight to check
    assert np.array_equal(slicer.util.arrayFromVolume(pet), before)  # the node itself is left alone


def test_without_the_files_bqml_is_refused(widget, study, monkeypatch):
    from slicer_standin import dicom_database

    pet, ct = (dicom_database.load_series(study / modality) for modality in ("PT", "CT"))
    monkeypatch.setattr(slicer, "dicomDatabase", dicom_database.build())  # of another computer
    widget.panel._parameterNode.pet, widget.panel._parameterNode.ct = pet, ct
    assert not widget.ui.predictButton.enabled
    for text in (widget.ui.pairLabel.text, widget.ui.predictButton.toolTip):
        assert "Bq/ml" in text and "DICOM" in text


# Load study ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def dicom_module(monkeypatch):
    """What the panel uses of Slicer's DICOMLib, over the stand-in's database; gives the series that were loaded."""
    import os
    import sys
    import types

    from slicer_standin import dicom_database, dicom_loading

    monkeypatch.setattr(slicer, "dicomDatabase", dicom_database.build())
    loaded = []

    def import_dicom(folder, dicomDatabase=None, copyFiles=False):
        for place, _, names in os.walk(folder):
            for name in names:
                slicer.dicomDatabase.insert(os.path.join(place, name))
        return True

    def load_series(uids):
        loaded.extend(uids)
        files = [slicer.dicomDatabase.filesForSeries(uid) for uid in uids]
        return [dicom_loading.load_files(dicom_loading.sorted_files(one)).GetID() for one in files]

    utils = types.SimpleNamespace(importDicom=import_dicom, loadSeriesByUID=load_series)
    monkeypatch.setitem(sys.modules, "DICOMLib", types.SimpleNamespace(DICOMUtils=utils))
    return types.SimpleNamespace(loaded=loaded, utils=utils)


@pytest.fixture
def export(tmp_path):
    """A small study with an uncorrected PET and a structure set."""
    import made_dicom

    made_dicom.write_series(tmp_path / "1", "PT")
    made_dicom.write_series(tmp_path / "2", "CT", shape=(20, 24))
    made_dicom.write_series(
        tmp_path / "3", "PT", CorrectedImage=["DECY"], SeriesInstanceUID="1.2.3", SeriesDescription="NAC"
    )
    return tmp_path


@pytest.fixture
def load_study(widget, dialogs, caplog):
    """Click and choose a folder; what the message said, which without a main window is logged only."""

    def load(folder):
        dialogs.expect(str(folder))
        with caplog.at_level("INFO"):
            widget.ui.loadStudyButton.click()
        return caplog.text

    return load


def test_a_study_is_loaded_and_chosen(widget, load_study, dicom_module, export):
    shown = load_study(export)
    node = widget.panel._parameterNode
    assert slicer.util.arrayFromVolume(node.pet).shape == (6, 10, 12)
    assert slicer.util.arrayFromVolume(node.ct).shape == (6, 20, 24)
    assert len(dicom_module.loaded) == 2 and "1.2.3" not in dicom_module.loaded
    assert "'PET AC'" in shown and "NAC" in shown.split("Left alone")[1]
    assert "Bq/ml" in widget.ui.pairLabel.text  # the headers are in the database


def test_a_study_that_leaves_a_choice_loads_nothing(widget, load_study, dicom_module, export):
    import made_dicom

    made_dicom.write_series(export / "4", "PT", SeriesInstanceUID="1.2.4", SeriesDescription="AC HD")
    shown = load_study(export)
    assert "AC HD" in shown and "DICOM module" in shown and not dicom_module.loaded
    assert widget.panel._parameterNode.pet is None


def test_a_study_that_slicer_does_not_load_leaves_nothing(widget, load_study, dicom_module, export):
    load, calls = dicom_module.utils.loadSeriesByUID, []
    dicom_module.utils.loadSeriesByUID = lambda uids: load(uids) if not calls.append(uids) and len(calls) == 1 else []
    shown = load_study(export)
    assert "0 volumes" in shown
    assert not slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") and len(calls) == 2


def test_no_folder_chosen_changes_nothing(widget, dialogs, dicom_module):
    dialogs.expect(None)
    widget.ui.loadStudyButton.click()
    assert widget.panel._parameterNode.pet is None and not dicom_module.loaded
