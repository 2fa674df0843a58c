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
    COMPACT = "compact"
    SMOKE = "smoke"

    def label(self) -> str:
        """The words in the panel's list."""
        return {
            Preset.PAPER: _("paper: the paper's networks"),
            Preset.COMPACT: _("compact: what a CPU can train"),
            Preset.SMOKE: _("smoke: seconds, to try things out"),
        }[self]

    def details(self) -> str:
        """What it costs."""
        return {
            Preset.PAPER: _("The paper's networks at 1 mm. Needs an NVIDIA GPU with 8 GB."),
            Preset.COMPACT: _("Smaller networks at 3 mm. CHMFL takes about an hour for six folds on a CPU."),
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
