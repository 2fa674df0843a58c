"""The panel's cohort: where the patients come from, what a check found, and the volumes of a row."""

import os
from pathlib import Path

import qt
import slicer
from CHMFLPredictorLib.child.process import Ending
from CHMFLPredictorLib.errors import ChmflError
from slicer.i18n import tr as _

from ..cohort.cohort import Patient
from ..cohort.findings import together
from . import packages
from .choices import CohortSource
from .task import Task
from .words import COLORS, endingText, errorText, findingText

ROW_HEIGHT = 21
PACKAGE_MISSING = ("dependency_missing", "pydicom_missing")
COLUMNS = ("Patient", "Label", "Files", "Findings")
SIGNS = {"error": "\N{BALLOT X}", "warning": "\N{WARNING SIGN}", "note": "\N{INFORMATION SOURCE}"}


class CohortBox:
    """The widgets of the section Cohort.

    :param ui: the panel's widgets by name.
    :param folderOf: gives the folder for what is made of DICOM series or of the scene.
    :param confirm: asks the user a question before packages are installed; returns whether the user agrees.
    :param onChanged: called without arguments when a check begins or ends, or another cohort is chosen.
    :ivar result: the ``findings`` of the last check (``cli_cohort``), with those of making the cohort; None before it
        and after another choice.
    :ivar unusable: whether that check could not even read the cohort.
    """

    def __init__(self, ui, folderOf, confirm, onChanged):
        self._ui, self._folderOf, self._confirm, self._onChanged = ui, folderOf, confirm, onChanged
        self.parameterNode, self.result, self.message, self.unusable = None, None, "", False
        self._task, self._checkedFor, self._protocol, self._rows, self._found = Task(), None, None, [], []
        ui.checkCohortButton.connect("clicked()", self.onCheck)
        ui.cohortTableWidget.connect("cellClicked(int,int)", self._onRow)
        for edit, name in ((ui.cohortPathLineEdit, "cohort"), (ui.outcomesPathLineEdit, "outcomes")):
            edit.connect("currentPathChanged(QString)", lambda path, name=name: self._onPath(name))
            edit.connect("validInputChanged(bool)", lambda valid, name=name: self._onPath(name))
        table = ui.cohortTableWidget
        table.setColumnCount(len(COLUMNS))
        table.setHorizontalHeaderLabels([_(column) for column in COLUMNS])
        table.verticalHeader().visible = False
        table.verticalHeader().defaultSectionSize = ROW_HEIGHT
        table.horizontalHeader().setStretchLastSection(True)

    @property
    def checking(self) -> bool:
        """Whether a check is under way."""
        return self._task.running

    @property
    def path(self) -> str:
        """The CSV to train on; empty where there is none yet."""
        if self.parameterNode is None:
            return ""
        if self.parameterNode.cohortSource is CohortSource.CSV:
            return self.parameterNode.cohort
        return self.result["cohort"] if self.result else ""

    @property
    def errors(self) -> int:
        """How many errors the last check found."""
        return self.result["counts"]["error"] if self.result else 0

    def show(self) -> None:
        """Take over what the parameter node says."""
        for edit, name in ((self._ui.cohortPathLineEdit, "cohort"), (self._ui.outcomesPathLineEdit, "outcomes")):
            value = getattr(self.parameterNode, name)
            if edit.currentPath != value:
                edit.currentPath = value

    def stop(self) -> None:
        """End a check."""
        self._task.stop()

    def refresh(self, busy: bool) -> None:
        """Show what belongs to the source."""
        ui, source = self._ui, self.parameterNode.cohortSource
        if self._checkedFor is not None and self._checkedFor != self._choice():
            self._forget()
        ui.cohortPathNameLabel.text = _("Folder:") if source is CohortSource.DICOM else _("CSV:")
        for name in ("cohortPathNameLabel", "cohortPathLineEdit"):
            getattr(ui, name).visible = source is not CohortSource.SCENE
        for name in ("outcomesNameLabel", "outcomesPathLineEdit"):
            getattr(ui, name).visible = source is not CohortSource.CSV
        for name in ("roiNameLabel", "roiLineEdit"):
            getattr(ui, name).visible = source is CohortSource.DICOM
        checking = self.checking
        ui.checkCohortButton.text = _("Cancel the check") if checking else _("Check cohort")
        ui.checkCohortButton.enabled = checking or (not busy and self._given())
        ui.cohortProgressBar.visible = checking
        ui.despiteFindingsCheckBox.visible = self.errors > 0
        ui.cohortSummaryLabel.text = self.message + self._outdated()
        ui.cohortSummaryLabel.visible = bool(self.message)

    def onCheck(self) -> None:
        """Start a check, or end the one under way."""
        if self.checking:
            self._task.stop()
            self._forget(_("The check was canceled."))
            self._onChanged()
            return
        self._forget(_("Reading the patients..."))
        self._ui.cohortProgressBar.value = 0
        self._protocol = self._plannedProtocol()
        try:
            arguments = self._arguments()
        except (ChmflError, OSError) as error:
            hint = getattr(error, "hint", "")
            self.message = f"{getattr(error, 'message', error)} {hint}".strip()
            self._onChanged()
            return
        self._checkedFor, self._found = self._choice(), []
        self._task.start(arguments, self._onEvent, self._onEnd)
        self._onChanged()

    def _arguments(self) -> list:
        """The command that checks the cohort, or that makes it of DICOM series first."""
        node = self.parameterNode
        if node.cohortSource is CohortSource.CSV:
            return self._checkOf(node.cohort)
        folder = self._folderOf()
        if node.cohortSource is CohortSource.SCENE:
            from ..cohort.cohort import read_outcomes
            from ..scene import cohort as scene_cohort

            patients = scene_cohort.patients_of_scene(slicer.mrmlScene)
            labels = read_outcomes(node.outcomes) if node.outcomes else {}
            with slicer.util.WaitCursor():
                return self._checkOf(scene_cohort.write_cohort(folder, patients, labels))
        packages.ensure(self._confirm, packages.STRUCTURE_SETS)
        options = ["--outcomes", node.outcomes] if node.outcomes else []
        options += ["--roi", node.roi] if node.roi else []
        return ["cohort", "from-dicom", node.cohort, "--output", folder, *options]

    def _checkOf(self, cohort) -> list:
        preset, folds, methods = self._protocol
        return ["cohort", "check", cohort, "--preset", preset, "--fold-count", folds, "--methods", methods]

    def _onEvent(self, event: dict) -> None:
        if event["event"] == "progress":
            self._ui.cohortProgressBar.value = round(1000 * event["fraction"])
            self.message = _("Reading {patient} ({number} of {count})").format(
                patient=event["name"], number=event["done"] + 1, count=event["of"]
            )
            self._ui.cohortSummaryLabel.text = self.message
        elif event["event"] == "findings":
            self._found.append(event)

    def _onEnd(self, ended) -> None:
        """A command has ended; after the one that made the cohort, what it made is checked."""
        if ended.ending is Ending.DONE or ended.code == "cohort_findings":
            wanted = 2 if self._checkedFor[0] is CohortSource.DICOM else 1
            if len(self._found) < wanted:
                self._task.start(self._checkOf(self._found[-1]["cohort"]), self._onEvent, self._onEnd)
                return
            self.result = together(self._found)
            self._fill()
            self.message = self._summary()
        elif ended.code in PACKAGE_MISSING and packages.CHECK.missing():
            self._install()
            return
        else:
            self.message, self.unusable = endingText(ended), True
        self._onChanged()

    def _install(self) -> None:
        """A package is missing: offer to install it, as Start does, and check again."""
        try:
            packages.ensure(self._confirm, packages.CHECK)
        except ChmflError as error:
            self._forget(errorText(error.code, error.message, error.hint))
            self._onChanged()
        else:
            self.onCheck()

    def _summary(self) -> str:
        found, counts = self.result, self.result["counts"]
        labels = [patient["label"] for patient in found["patients"]]
        text = _("{count} patients, {usable} usable: {events} with the event, {others} without, {unknown} unknown.")
        text = text.format(
            count=len(labels), usable=found["usable"], events=labels.count(1), others=labels.count(0),
            unknown=labels.count(None),
        )  # fmt: skip
        text += " " + _("Findings: {error} errors, {warning} warnings, {note} notes.").format(**counts)
        whole = [findingText(one) for one in found["findings"] if not one["patient_id"]]
        return "\n".join([text, *whole])

    def _fill(self) -> None:
        table, patients = self._ui.cohortTableWidget, self.result["patients"]
        self._rows = patients
        table.setRowCount(len(patients))
        for row, patient in enumerate(patients):
            found = [one for one in self.result["findings"] if one["patient_id"] == patient["patient_id"]]
            files = [name.upper() for name, path in patient["files"].items() if path]
            label = "" if patient["label"] is None else str(patient["label"])
            words = "; ".join(f"{SIGNS[one['severity']]} {one['text']}" for one in found)
            tips = ("", "", "\n".join(path for path in patient["files"].values() if path))
            tips = (*tips, "\n".join(map(findingText, found)))
            for column, text in enumerate((patient["patient_id"], label, ", ".join(files), words)):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(tips[column] or text)
                worst = found[0]["severity"] if found else ""
                if column == 3 and worst in COLORS:
                    item.setForeground(qt.QBrush(qt.QColor(COLORS[worst])))
                table.setItem(row, column, item)
        table.resizeColumnsToContents()
        table.visible = True

    def _onRow(self, row: int, column: int = 0) -> None:
        """Show the patient of a row."""
        from ..scene import cohort as scene_cohort

        found = self._rows[row]
        files = {name: Path(path) if path else None for name, path in found["files"].items()}
        patient = Patient(found["patient_id"], **files, label=found["label"])
        try:
            with slicer.util.WaitCursor():
                scene_cohort.show_patient(slicer.mrmlScene, patient)
        except ChmflError as error:
            slicer.util.errorDisplay(f"{error.message}\n\n{error.hint}", windowTitle=_("The patient cannot be shown"))

    def _onPath(self, name: str) -> None:
        edit = {"cohort": self._ui.cohortPathLineEdit, "outcomes": self._ui.outcomesPathLineEdit}[name]
        if self.parameterNode is not None and getattr(self.parameterNode, name) != edit.currentPath:
            setattr(self.parameterNode, name, edit.currentPath)
            self._onChanged()

    def _given(self) -> bool:
        """Whether there is something to check."""
        node = self.parameterNode
        return node.cohortSource is CohortSource.SCENE or os.path.exists(node.cohort)

    def _choice(self) -> tuple:
        node = self.parameterNode
        return (node.cohortSource, node.cohort, node.outcomes, node.roi)

    def _plannedProtocol(self) -> tuple[str, int, str]:
        """What a check depends on besides the patients: the preset's box, how many folds share the outcomes, and which
        images the methods need.
        """
        node = self.parameterNode
        return node.preset.value, node.folds, node.methods

    def _outdated(self) -> str:
        if self.result is None:
            return ""
        # where every patient has both images, no method needs what is not there
        complete = all(one["files"]["pet"] and one["files"]["ct"] for one in self.result["patients"])
        looked = 2 if complete else 3
        if self._protocol[:looked] == self._plannedProtocol()[:looked]:
            return ""
        return "\n" + _("Checked for another preset, number of folds or methods: check again.")

    def _forget(self, message: str = "") -> None:
        """What was found belongs to another choice."""
        self._task.stop()
        self.result, self._checkedFor, self.message, self.unusable = None, None, message, False
        self._ui.cohortTableWidget.visible = False
        self._ui.cohortTableWidget.setRowCount(0)
