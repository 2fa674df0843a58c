"""slicer.dicomDatabase of the stand-in, and DICOM series loaded as Slicer loads them."""

import pathlib
import sys
import types

import numpy as np
import pytest
from own_modules import NO_SOURCE, SOURCE, load_own

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENTS = ROOT.parent / "shared" / "data" / "sts" / "dicom"

pytestmark = [
    pytest.mark.standin,
    pytest.mark.filterwarnings("ignore:The value length"),  # of the patients' study IDs
]


@pytest.fixture
def database(monkeypatch):
    import slicer
    from slicer_standin import dicom_database

    empty = dicom_database.build()
    monkeypatch.setattr(slicer, "dicomDatabase", empty)
    return empty


@pytest.fixture
def made():
    """What makes DICOM series by hand: a PET in Bq/ml and a CT of one study."""
    import made_dicom

    return made_dicom


def load_made(made, folder, modality, **changes):
    from slicer_standin.dicom_database import load_series

    made.write_series(folder / modality, modality, **changes)
    return load_series(folder / modality)


def test_pet_and_ct_are_loaded_as_slicer_does(database, made, tmp_path):
    import slicer

    pet, ct = (load_made(made, tmp_path, modality) for modality in ("PT", "CT"))
    assert pet.GetVoxelValueUnits() is None
    assert pet.GetDisplayNode().GetColorNode().GetName() == "PET-Heat"
    assert (ct.GetVoxelValueUnits().GetCodeValue(), ct.GetVoxelValueQuantity().GetCodeValue()) == ("[hnsf'U]", "112031")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    items = [hierarchy.GetItemByDataNode(node) for node in (pet, ct)]
    assert [hierarchy.GetItemAttribute(item, "DICOM.Modality") for item in items] == ["PT", "CT"]
    study, same = (hierarchy.GetItemParent(item) for item in items)
    assert study == same
    assert hierarchy.GetItemLevel(study) == "Study"
    assert hierarchy.GetItemLevel(hierarchy.GetItemParent(study)) == "Patient"
    assert hierarchy.GetItemName(hierarchy.GetItemParent(study)) == "No name (made by hand)"


def test_instances_lead_to_files_in_the_order_of_slices(database, made, tmp_path):
    import vtk

    node = load_made(made, tmp_path, "PT")
    uids = node.GetAttribute("DICOM.instanceUIDs").split()
    assert len(uids) == node.GetImageData().GetDimensions()[2]
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    for k, uid in enumerate(uids):
        position = [float(part) for part in database.instanceValue(uid, "0020,0032").split("\\")]
        assert np.allclose(matrix.MultiplyPoint([0, 0, k, 1])[:3], np.array(position) * [-1, -1, 1])
        assert database.fileForInstance(uid).startswith(str(tmp_path).replace("\\", "/"))


def test_slices_at_uneven_distances_get_a_grid_transform(database, made, tmp_path, caplog):
    import pydicom

    made.write_series(tmp_path / "PT", "PT")
    files = sorted((tmp_path / "PT").iterdir())
    header = pydicom.dcmread(files[-1])
    header.ImagePositionPatient[2] += 0.5
    header.save_as(files[-1])
    from slicer_standin.dicom_database import load_series

    node = load_series(tmp_path / "PT")
    assert node.GetParentTransformNode().IsA("vtkMRMLGridTransformNode")
    assert "Irregular volume geometry" in caplog.text


def test_values_of_files(database, made, tmp_path):
    node = load_made(made, tmp_path, "PT")
    file = database.fileForInstance(node.GetAttribute("DICOM.instanceUIDs").split()[0])
    assert database.fileValue(file, "0054,1001") == "BQML"
    assert database.fileValue(file, "0008,103e") == database.fileValue(file, 0x8, 0x103E) == "PET AC"
    assert database.fileValue(file, "0008,0008") == "ORIGINAL\\PRIMARY\\AXIAL"
    assert float(database.fileValue(file, "0010,1030")) == 70
    for nothing in ("0054,0016", "0018,1074", "0010,0030", "0008103e", "PatientWeight"):
        assert database.fileValue(file, nothing) == ""
    assert database.fileValueExists(file, "7fe0,0010")
    assert not database.fileValueExists(file, "0010,0030")
    assert database.fileValue(str(tmp_path / "nothing"), "0010,0010") == ""
    assert database.fileForInstance("1.2.3") == ""


def test_the_tree_of_the_database(database, made, tmp_path):
    pet, ct = (load_made(made, tmp_path, modality) for modality in ("PT", "CT"))
    (patient,) = database.patients()
    (study,) = database.studiesForPatient(patient)
    assert database.seriesForStudy(study) == (made.STUDY + ".2", made.STUDY + ".3")
    instances = database.instancesForSeries(made.STUDY + ".3")
    assert set(instances) == set(ct.GetAttribute("DICOM.instanceUIDs").split())
    assert database.instancesForSeries(made.STUDY + ".3", 1) == instances[:1]
    assert database.descriptionForSeries(made.STUDY + ".2") == "PET AC"
    assert (database.studyForSeries(made.STUDY + ".2"), database.patientForStudy(study)) == (study, patient)
    assert database.removeSeries(made.STUDY + ".3")
    assert database.seriesForStudy(study) == (made.STUDY + ".2",)
    assert database.imagesCount() == pet.GetImageData().GetDimensions()[2]


def test_the_database_is_as_strict_as_pythonqt(database):
    with pytest.raises(AttributeError):
        database.files  # noqa: B018
    with pytest.raises(AttributeError):
        database.remembered = 1
    with pytest.raises(TypeError):
        database.fileValue(fileName="a", tag="0010,0010")
    with pytest.raises(ValueError, match="file name"):
        database.fileValue(pathlib.Path("a"), "0010,0010")


def test_a_folder_without_or_with_several_series_is_not_guessed_about(database, made, tmp_path):
    from slicer_standin.dicom_database import load_series

    with pytest.raises(ValueError, match="series"):
        load_series(tmp_path)
    for modality in ("PT", "CT"):
        made.write_series(tmp_path / modality, modality)
    with pytest.raises(ValueError, match="series"):
        load_series(tmp_path)
    assert load_series(tmp_path, made.STUDY + ".3").GetVoxelValueUnits() is not None


def patient(name):
    if not (PATIENTS / name).is_dir():
        pytest.skip("the patients are not here: no ../shared/data/sts beside the repository")
    return PATIENTS / name


def test_a_real_patient(database):
    import slicer
    from slicer_standin.dicom_database import load_series

    pet, ct = (load_series(patient("STS_042") / modality / "image") for modality in ("PET", "CT"))
    assert slicer.modules.volumes.logic().CompareVolumeGeometry(pet, ct) != ""
    assert (pet.GetParentTransformNode(), ct.GetParentTransformNode()) == (None, None)
    bounds = np.zeros((2, 6))
    pet.GetRASBounds(bounds[0])
    ct.GetRASBounds(bounds[1])
    assert np.all(np.maximum(bounds[0, ::2], bounds[1, ::2]) < np.minimum(bounds[0, 1::2], bounds[1, 1::2]))
    assert len(database.studiesForPatient(database.patients()[0])) == 1


# the same series loaded by Slicer's own plugin, where its sources are at hand


class HierarchySettings:
    """qSlicerSubjectHierarchyPluginHandler with the settings of a first start."""

    displayPatientIDInSubjectHierarchyItemName = displayPatientBirthDateInSubjectHierarchyItemName = True
    displayStudyIDInSubjectHierarchyItemName, displayStudyDateInSubjectHierarchyItemName = False, True

    @classmethod
    def instance(cls):
        return cls


@pytest.fixture
def plugin(monkeypatch):
    """Slicer's DICOMScalarVolumePlugin over what the wheel has of vtkITK and the stand-in of the rest."""
    import slicer

    if not SOURCE:
        pytest.skip(NO_SOURCE)
    monkeypatch.setattr(slicer, "qSlicerSubjectHierarchyPluginHandler", HierarchySettings, raising=False)
    monkeypatch.setattr(slicer, "qSlicerDICOMLoadable", object, raising=False)
    monkeypatch.setattr(slicer.modules, "DICOMInstance", types.SimpleNamespace(), raising=False)
    monkeypatch.setitem(sys.modules, "vtkITK", slicer)
    library = types.ModuleType("DICOMLib")
    monkeypatch.setitem(sys.modules, "DICOMLib", library)
    library.DICOMExportScalarVolume = None  # imported, needed for export alone
    library.DICOMUtils = load_own(monkeypatch, "DICOMLib.DICOMUtils")
    described = load_own(monkeypatch, "DICOMLib.DICOMPlugin")
    library.DICOMPlugin, library.DICOMLoadable = described.DICOMPlugin, described.DICOMLoadable
    return load_own(monkeypatch, "DICOMScalarVolumePlugin").DICOMScalarVolumePluginClass()


def describe(node):
    """Everything that loading a series says about it, to be compared."""
    import slicer.util

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item, branch = hierarchy.GetItemByDataNode(node), []
    while item and item != hierarchy.GetSceneItemID():
        attributes = {name: hierarchy.GetItemAttribute(item, name) for name in hierarchy.GetItemAttributeNames(item)}
        uids = [hierarchy.GetItemUID(item, kind) for kind in ("DICOM", "DICOMInstanceUID")]
        branch.append((hierarchy.GetItemName(item), hierarchy.GetItemLevel(item), uids, attributes))
        item = hierarchy.GetItemParent(item)
    values, display, transform = slicer.util.arrayFromVolume(node), node.GetDisplayNode(), node.GetParentTransformNode()
    codes = (node.GetVoxelValueQuantity(), node.GetVoxelValueUnits())
    return {
        "name": node.GetName(),
        "values": (values.dtype.str, values.tolist()),
        "geometry": slicer.util.arrayFromVolume(node).shape,
        "origin": node.GetOrigin(),
        "spacing": node.GetSpacing(),
        "attributes": {name: node.GetAttribute(name) for name in node.GetAttributeNames()},
        "codes": [code and code.GetAsString() for code in codes],
        "display": (display.GetColorNode().GetName(), display.GetWindow(), display.GetLevel()),
        "branch": branch,
        "transform": transform and slicer.util.arrayFromGridTransform(transform).round(6).tolist(),
    }


SERIES = {
    "PET": {"modality": "PT"},
    "CT with windows": {"modality": "CT", "WindowCenter": [40, 400], "WindowWidth": [350, 1500]},
    "CT of another plane": {"modality": "CT", "axes": [[1, 0, 0], [0, 0, 1], [0, -1, 0]]},
    "CT head first": {"modality": "CT", "axes": [[1, 0, 0], [0, 1, 0], [0, 0, -1]]},
    "PET with a gap": {"modality": "PT", "edit": lambda index, header: index != 2},
    "PET of nobody": {"modality": "PT", "PatientID": "", "StudyDescription": "legs", "StudyDate": "20200310"},
}


@pytest.mark.parametrize("case", [*SERIES, "STS_002/PET/image", "STS_042/CT/image"])
def test_a_series_is_loaded_as_by_slicers_own_plugin(plugin, monkeypatch, made, tmp_path, case):
    import slicer
    import slicer_standin
    from slicer_standin import dicom_database

    folder = tmp_path
    if case in SERIES:
        made.write_series(folder, **SERIES[case])
    else:
        folder = patient(case.split("/")[0]) / case.partition("/")[2]

    def load_by_plugin():
        files = [str(file) for file in sorted(folder.iterdir())]
        for file in files:
            slicer.dicomDatabase.insert(file)
        (selected,) = (one for one in plugin.examineFiles(files) if one.selected)
        return plugin.load(selected)

    loaded = []
    for load in (load_by_plugin, lambda: dicom_database.load_series(folder)):
        slicer_standin.reset()
        monkeypatch.setattr(slicer, "dicomDatabase", dicom_database.build())
        loaded.append(describe(load()))
    assert loaded[1] == loaded[0]
