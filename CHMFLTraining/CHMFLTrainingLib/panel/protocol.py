"""The panel's protocol: preset, folds, repeats, weight, epochs, learning rate; the paper's with one click."""

from slicer.i18n import tr as _

from .choices import Preset
from .plan import PAPER_EPOCHS, PAPER_FOLDS, PAPER_LEARNING_RATE, PAPER_METHODS, PAPER_W, Choices

PAPER_HOURS, PAPER_NETWORKS = 5, 5  # of one training (section II.E); rows of Table I that train a 3D network


class ProtocolBox:
    """The widgets of the sections Protocol and Where, and the button "Paper protocol".

    :param ui: the panel's widgets by name.
    :param methods: the ``MethodsBox``.
    :param onChanged: called without arguments.
    """

    def __init__(self, ui, methods, onChanged):
        self._ui, self._methods, self._onChanged = ui, methods, onChanged
        self.parameterNode = None
        ui.paperProtocolButton.connect("clicked()", self.onPaperProtocol)
        ui.foldsPathLineEdit.connect("currentPathChanged(QString)", self._onFolds)
        ui.foldsPathLineEdit.connect("validInputChanged(bool)", self._onFolds)

    def show(self) -> None:
        """Take over what the parameter node says."""
        if self._ui.foldsPathLineEdit.currentPath != self.parameterNode.foldsFile:
            self._ui.foldsPathLineEdit.currentPath = self.parameterNode.foldsFile

    def onPaperProtocol(self) -> None:
        """Choose what the paper did, and say what that takes."""
        node = self.parameterNode
        node.preset, node.w = Preset.PAPER, PAPER_W
        node.foldsFile, node.folds, node.repeats = "", PAPER_FOLDS, 1
        node.epochs, node.learningRate = PAPER_EPOCHS, PAPER_LEARNING_RATE
        self.show()
        self._methods.setChosen(PAPER_METHODS)

    def refresh(self) -> None:
        """Show what belongs to the choices."""
        ui, node = self._ui, self.parameterNode
        ui.presetLabel.text = node.preset.details()
        for name in ("foldsNameLabel", "foldsSpinBox"):
            getattr(ui, name).enabled = not node.foldsFile
        paper = node.preset is Preset.PAPER
        ui.epochsSpinBox.specialValueText = _("200, the paper's") if paper else _("preset's")
        ui.learningRateSpinBox.specialValueText = _("0.0001, the paper's") if paper else _("preset's")
        shown = self._isPaper()
        ui.paperProtocolLabel.visible = shown
        if shown:
            ui.paperProtocolLabel.text = self._cost()

    def choices(self, cohort: str, run: str) -> Choices:
        """What a new run is asked for."""
        node = self.parameterNode
        return Choices(
            cohort, run, self._methods.chosen, node.foldsFile, node.folds, node.repeats, node.preset.value, node.w,
            node.epochs, node.learningRate, node.device.value, node.scheduler.strip(), node.jobs, node.despiteFindings,
        )  # fmt: skip

    def _isPaper(self) -> bool:
        node = self.parameterNode
        return (
            node.preset is Preset.PAPER
            and tuple(node.methods.split(",")) == PAPER_METHODS
            and not node.foldsFile
            and (node.folds, node.repeats, node.epochs) == (PAPER_FOLDS, 1, PAPER_EPOCHS)
            and abs(node.w - PAPER_W) + abs(node.learningRate - PAPER_LEARNING_RATE) < 1e-9
        )

    def _cost(self) -> str:
        trainings = PAPER_NETWORKS * PAPER_FOLDS
        return _(
            "The paper's protocol: 7 methods on 6 folds, batches of 1. It needs an NVIDIA GPU with 8 GB or more. The "
            "paper reports {hours} hours for a training on a GTX 1080 Ti; {trainings} trainings of networks are up to "
            "{total} hours at that pace, less on a newer GPU. On a CPU take the preset compact."
        ).format(hours=PAPER_HOURS, trainings=trainings, total=PAPER_HOURS * trainings)

    def _onFolds(self, path=None) -> None:
        text = self._ui.foldsPathLineEdit.currentPath
        if self.parameterNode is not None and self.parameterNode.foldsFile != text:
            self.parameterNode.foldsFile = text
            self._onChanged()
