"""What the panel lets the user choose among; saved with the scene by the names of the members."""

from enum import Enum

from slicer.i18n import tr as _


class CohortSource(Enum):
    """Where the patients come from."""

    CSV = "csv"
    DICOM = "dicom"
    SCENE = "scene"

    def label(self) -> str:
        """The words in the panel's list."""
        return {
            CohortSource.CSV: _("A CSV file"),
            CohortSource.DICOM: _("A folder of DICOM series"),
            CohortSource.SCENE: _("Patients loaded in the scene"),
        }[self]


class Preset(Enum):
    """How much the computer can afford."""

    PAPER = "paper"
    PAPER_K3 = "paper_k3"
    COMPACT = "compact"
    SMOKE = "smoke"

    def label(self) -> str:
        """The words in the panel's list."""
        return {
            Preset.PAPER: _("paper: the paper's networks"),
            Preset.PAPER_K3: _("paper_k3: the same with smaller kernels in the decoder"),
            Preset.COMPACT: _("compact: what a CPU can train"),
            Preset.SMOKE: _("smoke: seconds, to try things out"),
        }[self]

    def details(self) -> str:
        """What it costs."""
        return {
            Preset.PAPER: _("The paper's networks at 2 mm. Needs an NVIDIA GPU with 8 GB."),
            Preset.PAPER_K3: _("A quarter of the work of paper: kernels of 3 instead of 5 voxels. Needs the same GPU."),
            Preset.COMPACT: _("Smaller networks at 4 mm. CHMFL takes about an hour for six folds on a CPU."),
            Preset.SMOKE: _("Tiny networks at 6 mm, two epochs. Says whether everything works, nothing else."),
        }[self]


class Device(Enum):
    """What computes."""

    AUTO = "auto"
    GPU = "cuda"
    CPU = "cpu"

    def label(self) -> str:
        """The words in the panel's list."""
        return {Device.AUTO: _("Auto"), Device.GPU: _("GPU"), Device.CPU: _("CPU")}[self]
