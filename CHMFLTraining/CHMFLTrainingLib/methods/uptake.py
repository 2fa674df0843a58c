"""Uptake: the total uptake above SUV 2 in a box around the tumor, one number that needs no outline."""

from CHMFLPredictorLib.model import baseline
from CHMFLPredictorLib.network import preprocessing
from CHMFLPredictorLib.network.preprocessing import ChannelSteps, Preprocessing
from CHMFLPredictorLib.reading import volumes
from CHMFLPredictorLib.tumor import location

from ..cohort.cases import Case
from .logistic import LogisticMethod

# the paper's box, 112 x 112 x 144 mm, at about the PET's own resolution
BOX = Preprocessing(voxel_mm=4.0, size_voxels=(28, 28, 36), pet=ChannelSteps(), ct=ChannelSteps())


class Uptake(LogisticMethod):
    """Logistic regression on the log of the sum of SUV x ml over voxels with SUV above 2 in the box."""

    NAME = "Uptake"
    GROUP = "baseline"
    ROW = 3
    SOURCE = "This project: the baseline that the predictor shows beside the network."
    OPEN = (
        "Not in the paper. Here: the box of section II.A read as 112 x 112 x 144 mm. The mask only places the box, as "
        "it does for the networks; its outline is not used."
    )
    NEEDS = frozenset({"pet", "mask"})
    NEEDS_TO_PREDICT = frozenset({"pet"})

    def numbers(self, case: Case) -> dict[str, float]:
        """The logarithm of the uptake."""
        return case.features(f"uptake 1 {BOX.voxel_mm} {BOX.size_voxels} {baseline.SUV_CUT}", _uptake)


def _uptake(case: Case) -> dict[str, float]:
    pet = volumes.read_pet(case.paths.pet).image
    center = location.from_mask(volumes.read_mask(case.paths.mask).image).center_ras
    sample = preprocessing.prepare(pet, pet, center, BOX)  # the second channel is not read
    return {"log_uptake": baseline.uptake(sample.suv, sample.grid.voxel_ml)}
