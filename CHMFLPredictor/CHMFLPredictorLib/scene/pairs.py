"""Which PET and CT of a scene belong together: by the subject hierarchy, by their names, by where they lie."""

import re
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import slicer

from ..errors import BadInput
from ..reading.checks import OVERLAP_NEEDED, warning
from .kinds import CT, PET, kind_of, plain_words
from .nodes import coded_units, world_grid
from .results import ROLE

# Words of series that are no first choice: not corrected for attenuation, projections, other kernels than soft tissue
SECOND_CHOICE = {PET: {"nac", "uncorrected", "mip"}, CT: {"lung", "bone", "scout", "topogram", "localizer", "mip"}}
LATTICE = 8  # coarse: many pairs are looked at
LEVELS = ("study", "patient", "folder")
CHANNEL = re.compile(r"000\d")  # nnU-Net's suffix, no number of a patient


@dataclass(frozen=True)
class Pair:
    """A PET and a CT of one examination, and what people call them (the patient, or what their names share)."""

    name: str
    pet: object
    ct: object


def guess_pair(scene) -> tuple:
    """The PET and the CT that a scene most likely means; None for what it lacks. The newest of equally good ones."""
    return _guess(_Candidates(scene))


def complete_pair(scene, pet, ct, by_user: tuple[bool, bool]) -> tuple:
    """The PET and the CT to go on with, now that volumes came or went.

    What the user chose stays, and gets a partner only from what may be of the same patient. What was chosen
    automatically gives way to a pair that belongs together, guessed as a whole.

    :param pet: chosen now, or None. :param ct: likewise.
    :param by_user: whether the user chose the PET, and the CT.
    """
    found = _Candidates(scene)
    if pet is not None and ct is not None and (all(by_user) or found.fit(pet, ct)):
        return pet, ct
    fixed = tuple(node if chosen else None for node, chosen in zip((pet, ct), by_user, strict=True))
    if fixed == (None, None):
        return _guess(found)
    pets, cts = (others if one is None else [one] for one, others in zip(fixed, (found.pets, found.cts), strict=True))
    possible = [(p, c) for p in pets for c in cts if found.fit(p, c)]
    return max(possible, key=lambda pair: found.merit(*pair), default=fixed)


def pairs(scene) -> list[Pair]:
    """All pairs of a scene that could be predicted from, at most one a study, in the order of the PETs.

    Volumes in the subject hierarchy go together by study, patient or folder, others by what their names share. Volumes
    whose names speak of two patients are never put together.
    """
    found = _Candidates(scene)
    chosen = []
    if len(found.pets) == len(found.cts) == 1:
        chosen = list(filter(None, [found.best(found.pets, found.cts)]))
    else:
        for level in LEVELS:
            chosen += _by_group(found, level, chosen)
        chosen += _by_name(found, *_left(found, chosen))
    chosen = [pair for pair in chosen if found.overlap(*pair)]
    return _named(found, sorted(chosen, key=lambda pair: found.order[pair[0]]))


def pair_warnings(pet_node, ct_node) -> list[dict]:
    """What speaks against a pair without forbidding it: ``{"code", "text"}`` each (patients_differ)."""
    patients = _ancestor(pet_node, "patient"), _ancestor(ct_node, "patient")
    if all(patients):
        if patients[0] == patients[1]:
            return []
        text = "In the subject hierarchy, PET and CT are of different patients. Check that they belong together."
        return [warning("patients_differ", text)]
    two = _two_numbers(pet_node.GetName(), ct_node.GetName())
    if two is None:
        return []
    text = f"The names speak of two patients, '{two[0]}' (PET) and '{two[1]}' (CT). Check that they belong together."
    return [warning("patients_differ", text)]


def examination(pet_node, ct_node) -> str:
    """What people call the examination of a pair: patient and study, or a folder, or what the names share."""
    return _name(pet_node, ct_node, with_study=True)


def patient_name(volume_node) -> str:
    """The ID of the volume's patient in the subject hierarchy, else the patient's name there, else ""."""
    item = _ancestor(volume_node, "patient")
    if not item:
        return ""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume_node.GetScene())
    attribute = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMPatientIDAttributeName()
    return (hierarchy.GetItemAttribute(item, attribute) or "").strip() or hierarchy.GetItemName(item)


def volumes_state(scene) -> tuple:
    """What differs once a volume has come, gone, or been changed, renamed, moved or put elsewhere in the subject
    hierarchy: as long as it is the same, so are :func:`pairs`. Cheap: no voxel is looked at.
    """
    hierarchy, state = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene), []
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene):
        image, transform = node.GetImageData(), node.GetParentTransformNode()
        state += [node.GetID(), node.GetMTime(), image.GetMTime() if image is not None else 0]
        while transform is not None:
            state.append(transform.GetMTime())
            transform = transform.GetParentTransformNode()
        item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
        while item:
            state.append((item, hierarchy.GetItemName(item)))
            item = hierarchy.GetItemParent(item)
    return tuple(state)


class _Candidates:
    """The PETs and CTs of a scene, in the order in which they came, and how well two of them go together."""

    def __init__(self, scene):
        self.hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        self.pets, self.cts = [], []
        self.order, self._words, self._groups, self._overlaps = {}, {}, {}, {}
        for number, node in enumerate(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene)):
            kind = kind_of(node)[0] if _can_be_input(node) else ""
            if kind in (PET, CT):
                (self.pets if kind == PET else self.cts).append(node)
                self.order[node] = number
                self._words[node] = plain_words(node.GetName())
                self._groups[node] = {level: _ancestor(node, level) for level in LEVELS}
        common = set.intersection(*self._words.values()) if self._words else set()
        self._telling = {node: words - common for node, words in self._words.items()}

    def group(self, node, level: str) -> int:
        """The subject hierarchy's item of a level (``LEVELS``) that holds the volume; 0 for none."""
        return self._groups[node][level]

    def home(self, node) -> int:
        """The study, or else the folder, that holds the volume; 0 for none."""
        return self.group(node, "study") or self.group(node, "folder")

    def of_two_patients(self, pet, ct) -> bool:
        """Whether the subject hierarchy has them under different patients."""
        patients = self.group(pet, "patient"), self.group(ct, "patient")
        return all(patients) and patients[0] != patients[1]

    def overlap(self, pet, ct) -> bool:
        """Whether they overlap enough for a prediction."""
        if (pet, ct) not in self._overlaps:
            try:
                grids = world_grid(pet), world_grid(ct)
                shares = [one.share_in(other, LATTICE) for one, other in (grids, grids[::-1])]
            except (BadInput, np.linalg.LinAlgError):
                shares = (0.0,)
            self._overlaps[pet, ct] = max(shares) >= OVERLAP_NEEDED
        return self._overlaps[pet, ct]

    def likeness(self, pet, ct) -> float:
        """How many of the names' words the two share, without those for the modality, 0 to 1."""
        ours, theirs = self._words[pet], self._words[ct]
        return len(ours & theirs) / len(ours | theirs) if ours | theirs else 1.0

    def akin(self, pet, ct) -> bool:
        """Whether the names share a word that not all volumes have."""
        return self._telling[pet] == self._telling[ct] or bool(self._telling[pet] & self._telling[ct])

    def may_match(self, pet, ct) -> bool:
        """Whether they may be of one patient, by their names too: no different numbers, nor words on both sides."""
        if self.of_two_patients(pet, ct):
            return False
        ours, theirs = self._telling[pet], self._telling[ct]
        numbers = [{word for word in words if any(map(str.isdigit, word))} for words in (ours, theirs)]
        if all(numbers) and not numbers[0] & numbers[1]:
            return False
        return bool(ours & theirs) or ours <= theirs or theirs <= ours

    def fit(self, pet, ct) -> bool:
        """Whether nothing speaks against the two being of one patient: hierarchy, place, and names."""
        if pet not in self.order or ct not in self.order or self.of_two_patients(pet, ct) or not self.overlap(pet, ct):
            return False
        if len(self.order) == 2:  # nothing to compare the names' words with
            return _two_numbers(pet.GetName(), ct.GetName()) is None
        return self.may_match(pet, ct) or all(self.group(one, "study") for one in (pet, ct))

    def best(self, pets: list, cts: list) -> tuple | None:
        """The pair of one patient that goes together best: overlapping before all other merit."""
        possible = [(pet, ct) for pet in pets for ct in cts if not self.of_two_patients(pet, ct)]
        ranked = sorted(possible, key=lambda pair: self.merit(*pair), reverse=True)
        return next((pair for pair in ranked if self.overlap(*pair)), ranked[0] if ranked else None)

    def merit(self, pet, ct) -> tuple:
        """What makes one pair better than another, the most important first."""
        same = (bool(self.group(pet, one)) and self.group(pet, one) == self.group(ct, one) for one in LEVELS)
        return (
            *same,
            self.may_match(pet, ct),
            self._quality(pet, PET) + self._quality(ct, CT),
            self.likeness(pet, ct),
            self.order[pet] + self.order[ct],
        )

    def _quality(self, node, kind: str) -> int:
        second = bool(self._words[node] & SECOND_CHOICE[kind]) or min(node.GetImageData().GetDimensions()) < 2
        return (coded_units(node) == "SUV") - 2 * second


# Inside --------------------------------------------------------------------------------------------------------------


def _guess(found: _Candidates) -> tuple:
    best = found.best(found.pets, found.cts)
    if best is not None:
        return best
    return (found.pets[-1], None) if found.pets else (None, found.cts[-1] if found.cts else None)


def _ancestor(node, level: str) -> int:
    """The subject hierarchy's item of a level (``LEVELS``) that holds a volume; 0 for none."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    if not item:
        return 0
    if level == "folder":
        parent = hierarchy.GetItemParent(item)
        return 0 if parent == hierarchy.GetSceneItemID() else parent
    constants = slicer.vtkMRMLSubjectHierarchyConstants
    names = {"study": constants.GetDICOMLevelStudy(), "patient": constants.GetDICOMLevelPatient()}
    return hierarchy.GetItemAncestorAtLevel(item, names[level])


def _two_numbers(*names: str) -> tuple[str, str] | None:
    """The one word in which two names differ, where it numbers patients: "STS_006 PET" and "STS_007 CT"."""
    words = [plain_words(name or "") for name in names]
    differing = [one - other for one, other in (words, words[::-1])]
    if [len(one) for one in differing] != [1, 1]:
        return None
    two = tuple(next(iter(one)) for one in differing)
    shared = bool(words[0] & words[1])

    def numbers(word: str) -> bool:
        is_number = any(map(str.isdigit, word)) and not CHANNEL.fullmatch(word)
        telling = shared or len(word) > 2 or not word.isdigit()  # "1" alone is what Slicer appends to equal names
        return (is_number and telling) or (len(word) == 1 and word.isalpha())

    return two if all(map(numbers, two)) else None


def _can_be_input(node) -> bool:
    """Whether a volume may be a PET or CT: no label map, no result of ours, none that a module keeps to itself."""
    image = node.GetImageData()
    return (
        node.GetClassName() == "vtkMRMLScalarVolumeNode"
        and not node.GetAttribute(ROLE)
        and not node.GetHideFromEditors()
        and image is not None
        and image.GetNumberOfPoints() > 0
    )


def _left(found: _Candidates, chosen: list[tuple]) -> tuple[list, list]:
    """The volumes that are in no pair, nor in a study that has one: its other series wait for nobody."""
    taken = {node for pair in chosen for node in pair}
    homes = {found.home(node) for node in taken} - {0}

    def is_free(node) -> bool:
        return node not in taken and found.home(node) not in homes

    return list(filter(is_free, found.pets)), list(filter(is_free, found.cts))


def _by_group(found: _Candidates, level: str, chosen: list[tuple]) -> list[tuple]:
    pets, cts = _left(found, chosen)
    groups = dict.fromkeys(found.group(pet, level) for pet in pets if found.group(pet, level))
    inside = (([n for n in nodes if found.group(n, level) == one] for nodes in (pets, cts)) for one in groups)
    return [best for ours in inside if (best := found.best(*ours)) is not None]


def _by_name(found: _Candidates, pets: list, cts: list) -> list[tuple]:
    """Pairs of volumes in no study: those whose names agree best first, and none that two could claim."""
    possible = [(p, c) for p in pets for c in cts if found.may_match(p, c) and found.overlap(p, c)]
    chosen = []
    while possible:
        best = max(possible, key=lambda pair: (found.likeness(*pair), found.merit(*pair)))
        rivals = [p for p in possible if (p[0] is best[0]) != (p[1] is best[1])]
        likeness = found.likeness(*best)
        if likeness < 1 and any(found.likeness(*rival) == likeness for rival in rivals):
            possible = [p for p in possible if p != best and p not in rivals]
            continue
        chosen.append(best)
        # another series with the patient's words is of the same examination
        possible = [p for p in possible if not found.akin(p[0], best[1]) and not found.akin(best[0], p[1])]
        possible = [p for p in possible if p[0] is not best[0] and p[1] is not best[1]]
    return chosen


def _named(found: _Candidates, chosen: list[tuple]) -> list[Pair]:
    patients = [found.group(pet, "patient") for pet, _ in chosen]
    names, result = set(), []
    for (pet, ct), patient in zip(chosen, patients, strict=True):
        plain = name = _name(pet, ct, patients.count(patient) > 1)
        count = 1
        while name in names:
            count += 1
            name = f"{plain} ({count})"
        names.add(name)
        result.append(Pair(name, pet, ct))
    return result


def _name(pet, ct, with_study: bool) -> str:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(pet.GetScene())
    patient, study, folder = (_ancestor(pet, level) for level in ("patient", "study", "folder"))
    if patient and patient == _ancestor(ct, "patient"):
        name = hierarchy.GetItemName(patient)
        return f"{name}, {hierarchy.GetItemName(study)}" if with_study and study else name
    if folder and folder == _ancestor(ct, "folder"):
        return hierarchy.GetItemName(folder)
    names = pet.GetName(), ct.GetName()
    start = "".join(one for one, _ in takewhile(lambda two: two[0] == two[1], zip(*names, strict=False)))
    start = start.strip(" _-:,.")
    shared = " ".join(word for word in names[0].split() if word in names[1].split())
    return (start if len(start) > 2 else "") or shared or " + ".join(names)
