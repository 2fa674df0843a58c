"""Which volumes of a scene are PET and CT, which belong together, and why a pair is refused."""

import time

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed: no MRML scene to test in")
import slicer
import slicer_headless
import vtk
from CHMFLPredictorLib.scene.inputs import (
    center_of_volume,
    complete_pair,
    guess_pair,
    modality_of,
    pair_warnings,
    pairs,
    refusal,
    units_in_words,
)
from CHMFLPredictorLib.scene.pairs import examination, patient_name
from CHMFLPredictorLib.scene.results import ROLE

RANDOM = np.random.default_rng(3)
SHAPE = (8, 12, 14)  # k, j, i
VALUES = {
    "suv": RANDOM.gamma(2.0, 0.6, SHAPE).astype(np.float32),
    "bqml": (RANDOM.gamma(2.0, 3000.0, SHAPE)).astype(np.float32),
    "ct": np.where(RANDOM.random(SHAPE) < 0.4, -1000, RANDOM.integers(-100, 80, SHAPE)).astype(np.int16),
    "ct without air": RANDOM.integers(-40, 90, SHAPE).astype(np.int16),
    "mr": RANDOM.integers(0, 900, SHAPE).astype(np.int16),
    "labels": RANDOM.integers(0, 3, SHAPE).astype(np.uint8),
    "map": RANDOM.random(SHAPE).astype(np.float32),
    "nothing": np.zeros(SHAPE, np.float32),
    "not finite": np.full(SHAPE, np.nan, np.float32),
}


@pytest.fixture
def scene():
    return slicer_headless.new_scene()


def add(name, values="mr", center=(0.0, 0.0, 0.0), modality=None, spacing=10.0, class_name="vtkMRMLScalarVolumeNode"):
    """Add a volume about a center, by default of values that tell nothing."""
    node = slicer.mrmlScene.AddNewNodeByClass(class_name, name)
    array = VALUES[values] if isinstance(values, str) else values
    slicer.util.updateVolumeFromArray(node, array)
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = np.array(center) - spacing * (np.array(array.shape[2::-1]) - 1) / 2
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    if modality is not None:
        item = hierarchy().CreateItem(hierarchy().GetSceneItemID(), node)
        hierarchy().SetItemAttribute(item, "DICOM.Modality", modality)
    return node


def hierarchy():
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def from_dicom(node, patient, study, modality):
    """Put a volume where the DICOM module would: under its patient and study."""
    constants = slicer.vtkMRMLSubjectHierarchyConstants
    item = hierarchy().CreateItem(hierarchy().GetSceneItemID(), node)
    uid = f"{patient}.{study}.{node.GetID()}"
    hierarchy().SetItemUID(item, constants.GetDICOMUIDName(), uid)
    hierarchy().SetItemAttribute(item, constants.GetDICOMSeriesModalityAttributeName(), modality)
    logic = slicer.vtkSlicerSubjectHierarchyModuleLogic
    logic.InsertDicomSeriesInHierarchy(hierarchy(), patient, f"{patient}.{study}", uid)
    for one, name in ((patient, f"Patient {patient}"), (f"{patient}.{study}", f"Study {study}")):
        hierarchy().SetItemName(hierarchy().GetItemByUID(constants.GetDICOMUIDName(), one), name)
    return node


# What a volume is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("PET", "mr", "PT"),
        ("CT", "mr", "CT"),
        ("STS_006 PET", "mr", "PT"),
        ("STS_006_CT", "mr", "CT"),
        ("CT WB 3.27", "ct", "CT"),
        ("4: CT SUV WB", "suv", "PT"),  # two words against each other: its values tell
        ("4: CT SUV WB", "ct", "CT"),
        ("4: CT SUV WB", "mr", ""),
        ("Body CTAC", "suv", "PT"),  # corrected for attenuation by CT
        ("petImage2", "mr", "PT"),
        ("CTChest", "mr", "CT"),
        ("SUVbw", "mr", "PT"),
        ("18F-FDG wb", "bqml", "PT"),
        ("doctor's octopus, spectral", "mr", ""),  # "ct" and "pt" within words
        ("T1w post", "mr", ""),
        ("T2", "suv", ""),
        ("PET", "ct", "CT"),  # a name that its values disprove
        ("CT", "suv", "PT"),
        ("CT", "ct without air", "CT"),
        ("Volume", "suv", "PT"),
        ("Volume", "ct", "CT"),
        ("Volume", "bqml", ""),
        ("Volume", "labels", ""),
        ("Volume", "map", ""),
        ("Volume", "nothing", ""),
        ("Volume", "not finite", ""),
    ],
)
def test_modality_by_name_and_values(scene, name, values, expected):
    found, why = modality_of(add(name, values))
    assert found == expected and why


@pytest.mark.parametrize(
    ("modality", "expected"), [("PT", "PT"), ("CT", "CT"), ("MR", ""), ("RTDOSE", ""), ("OT", "CT"), ("", "CT")]
)
def test_dicom_comes_first(scene, modality, expected):
    found, why = modality_of(add("CT", "mr", modality=modality))
    assert found == expected and (modality in why or modality == "OT")


@pytest.mark.parametrize(
    ("units", "expected"), [("{SUVbw}g/ml", "PT"), ("{SUVlbm}g/ml", "PT"), ("Bq/ml", "PT"), ("[hnsf'U]", "CT")]
)
def test_units_come_before_names(scene, units, expected):
    node = add("CT" if expected == "PT" else "PET", "mr")
    slicer_headless.set_units(node, units, "")
    assert modality_of(node)[0] == expected


def test_quantity_tells(scene):
    for code, expected in (("126400", "PT"), ("112031", "CT"), ("110852", "")):
        node, entry = add("PET"), slicer.vtkCodedEntry()
        entry.SetValueSchemeMeaning(code, "DCM", "whatever it means")
        node.SetVoxelValueQuantity(entry)
        assert modality_of(node)[0] == expected


def test_values_that_change_are_judged_again(scene):
    node = add("Volume", "suv")
    assert modality_of(node)[0] == "PT"
    slicer.util.updateVolumeFromArray(node, VALUES["ct"])
    assert modality_of(node)[0] == "CT"


# Guessing ------------------------------------------------------------------------------------------------------------


def test_an_empty_scene_and_one_volume(scene):
    assert guess_pair(scene) == (None, None) and pairs(scene) == []
    pet = add("PET")
    assert guess_pair(scene) == (pet, None) and pairs(scene) == []
    scene.RemoveNode(pet)
    ct = add("CT")
    assert guess_pair(scene) == (None, ct)


def test_others_are_left_alone(scene):
    """MR, label maps, vectors, hidden volumes and results of ours are no PET and no CT."""
    add("MR", "mr")
    result = add("CT relevance (CFL)", "map")
    result.SetAttribute(ROLE, "relevance")
    add("CT labels", "labels", class_name="vtkMRMLLabelMapVolumeNode")
    add("PET vectors", np.zeros((*SHAPE, 3)), class_name="vtkMRMLVectorVolumeNode")
    add("PET hidden", "suv").SetHideFromEditors(True)
    scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT empty")
    assert guess_pair(scene) == (None, None)
    ct, pet = add("CT", "ct"), add("PET", "suv")
    assert guess_pair(scene) == (pet, ct)
    assert [(pair.pet, pair.ct) for pair in pairs(scene)] == [(pet, ct)]


def test_names_that_tell_nothing(scene):
    """NIfTI files are often called after the patient alone."""
    ct, pet = add("004_0000", "ct"), add("004_0001", "suv")
    assert guess_pair(scene) == (pet, ct)


def test_the_newest_of_equals(scene):
    for _ in range(2):
        pet, ct = add(scene.GenerateUniqueName("PET")), add(scene.GenerateUniqueName("CT"))
    assert guess_pair(scene) == (pet, ct) and pet.GetName() == "PET_1"
    assert [pair.name for pair in pairs(scene)] == ["PET + CT", "PET_1 + CT_1"]


def test_one_study_before_the_newest(scene):
    pet = from_dicom(add("4: WB SUV"), "1", "1", "PT")
    ct = from_dicom(add("3: CT WB"), "1", "1", "CT")
    from_dicom(add("2: CT PET"), "2", "1", "CT")
    from_dicom(add("1: MR SUV"), "2", "1", "MR")
    assert guess_pair(scene) == (pet, ct)
    assert [(pair.name, pair.pet, pair.ct) for pair in pairs(scene)] == [("Patient 1", pet, ct)]


def test_the_ct_that_lies_there(scene):
    pet = add("PET", "suv")
    ct = add("CT thigh", "ct", (5.0, 5.0, 5.0))
    add("CT head", "ct", (0.0, 0.0, 900.0))
    assert guess_pair(scene) == (pet, ct)
    assert [pair.ct for pair in pairs(scene)] == [ct]


def test_series_of_second_choice(scene):
    pet = from_dicom(add("5: PET WB"), "1", "1", "PT")
    ct = from_dicom(add("3: CT soft tissue"), "1", "1", "CT")
    from_dicom(add("6: PET WB NAC"), "1", "1", "PT")
    from_dicom(add("4: CT lung"), "1", "1", "CT")
    from_dicom(add("7: PET MIP"), "1", "1", "PT")
    assert guess_pair(scene) == (pet, ct)
    assert [(pair.pet, pair.ct) for pair in pairs(scene)] == [(pet, ct)]


def test_suv_before_scanner_units_of_the_same_study(scene):
    suv = from_dicom(add("5: PET (SUVbw)"), "1", "1", "PT")
    slicer_headless.set_units(suv, "{SUVbw}g/ml", "")
    ct = from_dicom(add("3: CT"), "1", "1", "CT")
    from_dicom(add("5: PET"), "1", "1", "PT")
    assert guess_pair(scene) == (suv, ct)


# Pairs ---------------------------------------------------------------------------------------------------------------


def named_pairs(scene):
    return [(pair.name, pair.pet.GetName(), pair.ct.GetName()) for pair in pairs(scene)]


def test_studies_and_patients(scene):
    for patient, study in (("1", "a"), ("1", "b"), ("2", "a")):
        from_dicom(add(f"PET {patient}{study}"), patient, study, "PT")
    for patient, study in (("2", "a"), ("1", "b"), ("1", "a")):
        from_dicom(add(f"CT {patient}{study}"), patient, study, "CT")
    assert named_pairs(scene) == [
        ("Patient 1, Study a", "PET 1a", "CT 1a"),
        ("Patient 1, Study b", "PET 1b", "CT 1b"),
        ("Patient 2", "PET 2a", "CT 2a"),
    ]


def test_what_an_examination_is_called(scene):
    pet, ct = from_dicom(add("PET"), "1", "a", "PT"), from_dicom(add("CT"), "1", "a", "CT")
    assert examination(pet, ct) == "Patient 1, Study a"
    assert examination(add("STS_006 PET"), add("STS_006 CT")) == "STS_006"


def test_the_patient_has_an_id_or_a_name_or_neither(scene):
    ct = from_dicom(add("CT"), "1", "a", "CT")
    assert patient_name(ct) == "Patient 1" and patient_name(add("CT of unknown origin")) == ""
    constants = slicer.vtkMRMLSubjectHierarchyConstants
    item = hierarchy().GetItemByUID(constants.GetDICOMUIDName(), "1")
    hierarchy().SetItemAttribute(item, constants.GetDICOMPatientIDAttributeName(), "ID-7")
    assert patient_name(ct) == "ID-7"


def test_pet_and_ct_in_two_studies_of_a_patient(scene):
    from_dicom(add("PET"), "1", "a", "PT")
    from_dicom(add("CT"), "1", "b", "CT")
    from_dicom(add("PET of another"), "2", "a", "PT")
    assert named_pairs(scene) == [("Patient 1", "PET", "CT")]


def test_volumes_of_two_patients(scene):
    pet = from_dicom(add("PET"), "1", "a", "PT")
    from_dicom(add("CT"), "2", "a", "CT")
    assert pairs(scene) == [] and guess_pair(scene) == (pet, None)
    ct = add("CT of unknown origin")
    assert [(pair.pet, pair.ct) for pair in pairs(scene)] == [(pet, ct)] and guess_pair(scene) == (pet, ct)


def test_folders_that_the_user_made(scene):
    for name in ("Miller", "Smith"):
        folder = hierarchy().CreateFolderItem(hierarchy().GetSceneItemID(), name)
        for volume in ("PET", "CT"):
            hierarchy().CreateItem(folder, add(f"{volume} x"))
    assert [pair.name for pair in pairs(scene)] == ["Miller", "Smith"]
    assert guess_pair(scene) == (pairs(scene)[1].pet, pairs(scene)[1].ct)


def test_names_that_belong_together(scene):
    for patient in ("STS_006", "STS_015", "STS_020"):
        add(f"{patient} PET", "suv")
    for patient in ("STS_020", "STS_006", "STS_015"):
        add(f"{patient} CT", "ct")
    add("STS_006 PET NAC", "suv")
    assert named_pairs(scene) == [(name, f"{name} PET", f"{name} CT") for name in ("STS_006", "STS_015", "STS_020")]


def test_long_names_of_patients(scene):
    for patient in ("1", "2"):
        add(f"Patient {patient} PET WB AC", "suv")
        add(f"Patient {patient} CT WB 3.27", "ct")
    assert [pair[0] for pair in named_pairs(scene)] == ["Patient 1", "Patient 2"]
    assert all(pet[:9] == ct[:9] for _, pet, ct in named_pairs(scene))


@pytest.mark.parametrize(
    ("patient", "others"),
    [
        ("STS_006", ["STS_015 PET", "STS_020 CT"]),
        ("STS_006", ["STS_006 PET NAC", "STS_020 CT"]),
        ("STS_020", ["STS_006 PET WB", "STS_015 CT WB"]),
        ("Miller", ["Smith PET", "Jones CT"]),
    ],
)
def test_two_patients_are_never_put_together(scene, patient, others):
    for name in (f"{patient} PET", f"{patient} CT", *others):
        add(name, "suv" if "PET" in name else "ct")
    assert named_pairs(scene) == [(patient, f"{patient} PET", f"{patient} CT")]


def test_names_that_two_could_claim_are_not_paired(scene):
    for number in "12":
        add(f"Smith PET x{number}", "suv")
        add(f"Smith CT y{number}", "ct")
    assert pairs(scene) == []


def test_names_of_pairs_are_unique(scene):
    for patient in ("1", "2"):
        from_dicom(add("PET"), patient, "a", "PT")
        from_dicom(add("CT"), patient, "a", "CT")
        item = hierarchy().GetItemByUID(slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMUIDName(), patient)
        hierarchy().SetItemName(item, "No name")
    assert [pair.name for pair in pairs(scene)] == ["No name", "No name (2)"]


# Refusals ------------------------------------------------------------------------------------------------------------


def refused(pet, ct, code, *words):
    found = refusal(pet, ct)
    assert found is not None and found.code == code, found
    assert found.hint and all(word in found.message for word in words), found.message


def test_a_good_pair_is_not_refused(scene):
    pet, ct = add("PET", "suv"), add("CT", "ct")
    assert refusal(pet, ct) is None
    assert "body-weight" in units_in_words(pet) and units_in_words(None) == ""


def test_what_is_refused(scene):
    pet, ct = add("PET", "suv"), add("CT", "ct")
    refused(None, None, "node_missing", "PET")
    refused(pet, None, "node_missing", "CT")
    refused(pet, pet, "same_volume")
    refused(ct, pet, "swapped_pet_ct", "'CT' is a CT", "'PET' is a PET")
    refused(add("CT 2", "ct"), ct, "pet_is_ct", "by its name")
    refused(add("PET 2", "ct"), ct, "pet_is_ct", "by its values")
    refused(pet, add("Other", "suv"), "ct_is_pet", "as SUV")
    refused(add("T1", "mr"), ct, "wrong_modality", "T1")
    refused(pet, add("x", "mr", modality="MR"), "wrong_modality", "MR")
    refused(add("Mask", "labels"), ct, "wrong_modality", "labels")
    refused(pet, add("CT far", "ct", (0.0, 0.0, 500.0)), "no_overlap", "500 mm")
    refused(pet, add("CT beside", "ct", (100.0, 0.0, 0.0)), "partial_overlap", "31%")
    refused(add("PET", "bqml"), ct, "pet_in_bqml", "99th percentile")
    refused(pet, add("CT slice", VALUES["ct"][:1]), "one_slice", "14 x 12 x 1")
    slicer_headless.set_units(pet, "{SUVlbm}g/ml", "")
    refused(pet, ct, "pet_not_suv", "{SUVlbm}g/ml")


def test_transforms_count(scene):
    pet, ct = add("PET", "suv"), add("CT", "ct", (0.0, 0.0, 500.0))
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "Registration")
    matrix = np.eye(4)
    matrix[2, 3] = -500.0
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    ct.SetAndObserveTransformNodeID(transform.GetID())
    assert refusal(pet, ct) is None and guess_pair(scene) == (pet, ct)
    assert center_of_volume(ct) == pytest.approx((0, 0, 0))
    bend = vtk.vtkThinPlateSplineTransform()
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for corner in ((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50), (50, 50, 50)):
        source.InsertNextPoint(corner)
        target.InsertNextPoint([value + 0.001 * value**2 for value in corner])
    bend.SetSourceLandmarks(source)
    bend.SetTargetLandmarks(target)
    transform.SetAndObserveTransformToParent(bend)
    refused(pet, ct, "transform_not_linear", "Registration")
    assert guess_pair(scene) == (pet, ct) and pairs(scene) == []


def test_large_volumes_are_judged_at_a_glance(scene):
    shape = (300, 512, 512)
    values = np.full(shape, -1000, np.int16)
    values[100:200, 100:400, 100:400] = 40
    ct = add("Volume", values, spacing=1.0)
    pet = add("Other", np.tile(VALUES["suv"], (25, 13, 11)), spacing=2.0)

    def fastest(function, *arguments):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            result = function(*arguments)
            times.append(time.perf_counter() - start)
        return result, min(times)

    assert modality_of(ct)[0] == "CT"
    result, seconds = fastest(refusal, pet, ct)
    assert result is None and seconds < 0.05
    result, seconds = fastest(guess_pair, scene)
    assert result == (pet, ct) and seconds < 0.1


def test_many_patients_are_paired_quickly(scene):
    for number in range(12):
        add(f"STS_{number:03d} PET", "suv")
        add(f"STS_{number:03d} CT", "ct")
    start = time.perf_counter()
    found = pairs(scene)
    assert time.perf_counter() - start < 1.0
    assert [pair.name for pair in found] == [f"STS_{number:03d}" for number in range(12)]


# Going on with what is chosen -----------------------------------------------------------------------------------------

AUTOMATIC = (False, False)


def test_an_automatic_ct_gives_way_to_the_next_patients(scene):
    old = add("STS_001 CT", "ct")
    assert complete_pair(scene, None, None, AUTOMATIC) == (None, old)
    pet = add("STS_002 PET", "suv")
    ct = add("STS_002 CT", "ct")
    assert complete_pair(scene, None, old, AUTOMATIC) == (pet, ct)
    assert complete_pair(scene, pet, old, AUTOMATIC) == (pet, ct)  # the PET came alone at first


@pytest.mark.parametrize("names", [("STS_001", "STS_002"), ("Smith", "Jones"), ("A", "B")])
def test_the_users_ct_gets_no_partner_of_another_patient(scene, names):
    mine = add(f"{names[0]} CT", "ct")
    add(f"{names[1]} PET", "suv"), add(f"{names[1]} CT", "ct")
    assert complete_pair(scene, None, mine, (False, True)) == (None, mine)
    partner = add(f"{names[0]} PET", "suv")
    assert complete_pair(scene, None, mine, (False, True)) == (partner, mine)


def test_a_partner_of_the_same_patient_in_the_hierarchy(scene):
    ct = from_dicom(add("3: CT WB"), "1", "1", "CT")
    other = from_dicom(add("4: PET WB"), "2", "1", "PT")
    assert complete_pair(scene, other, ct, (False, True)) == (None, ct)
    pet = from_dicom(add("7: PET AC"), "1", "1", "PT")
    assert complete_pair(scene, None, ct, (False, True)) == (pet, ct)


def test_a_pair_that_fits_stays_when_others_come(scene):
    pet, ct = add("STS_001 PET", "suv"), add("STS_001 CT", "ct")
    add("STS_002 PET", "suv"), add("STS_002 CT", "ct")
    assert complete_pair(scene, pet, ct, AUTOMATIC) == (pet, ct)
    other = add("STS_003 CT", "ct")
    assert complete_pair(scene, pet, other, (True, True)) == (pet, other)


@pytest.mark.parametrize(
    ("pet", "ct", "two"),
    [
        ("STS_006 PET", "STS_007 CT", True),
        ("006 PET", "007 CT", True),
        ("Patient A PET", "Patient B CT", True),
        ("STS_006 PET", "STS_006 CT", False),
        ("004_0001", "004_0000", False),
        ("4: WB PET", "3: CT WB 5.0", False),
        ("PET_1", "CT_2", False),
        ("PET body", "CT chest", False),
    ],
)
def test_names_of_two_patients_are_told(scene, pet, ct, two):
    said = pair_warnings(add(pet, "suv"), add(ct, "ct"))
    assert [one["code"] for one in said] == ["patients_differ"] * two
