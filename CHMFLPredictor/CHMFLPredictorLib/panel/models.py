"""The panel's list of models: choose one, see its card, add and remove."""

import os
from html import escape

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import ChmflError
from ..model.bundle import read_card
from ..model.card import rows_of
from ..model.shelf import ModelShelf


def shelfPath() -> str:
    """Where this user's list of models is kept: beside Slicer's own settings."""
    return os.path.join(os.path.dirname(slicer.app.slicerUserSettingsFilePath), "CHMFL", "models.json")


def cardHtml(card: dict, folder: str) -> str:
    """A model's card as a table."""
    networks = _("{method}, {count} networks, license {license}").format(
        method=card["method"], count=card["members"], license=card["license"]
    )
    rows = "".join(
        f"<tr><td><b>{escape(title)}</b> </td><td>{escape(text)}</td></tr>" for title, text in rows_of(card, folder)
    )
    head = f"<b>{escape(card['name'])} {escape(card['version'])}</b><br>{escape(networks)}"
    return f"{head}<table>{rows}</table>" + _("Research software, not for clinical use.")


class ModelBox:
    """The widgets that choose a model.

    :param ui: the panel's widgets by name.
    :param onChanged: called with the folder of the model that is chosen now, or None.
    """

    def __init__(self, ui, onChanged):
        self._ui, self._onChanged = ui, lambda folder: None  # nobody to tell before the panel is complete
        self._shelf = ModelShelf(shelfPath())
        self._cards: dict[str, dict] = {}
        self._models: dict = {}
        ui.modelComboBox.connect("currentIndexChanged(int)", self._onChosen)
        ui.modelCardButton.connect("toggled(bool)", self._onCard)
        ui.addModelButton.connect("clicked()", self._onAdd)
        ui.removeModelButton.connect("clicked()", self._onRemove)
        self.refresh()
        self._onChanged = onChanged

    def refresh(self, chosen: str = "") -> None:
        """List the models anew and choose the one in that folder, or the one that ships."""
        models = self._shelf.models()
        self._cards.clear()  # a folder may hold another model than before
        combo = self._ui.modelComboBox
        blocked = combo.blockSignals(True)
        combo.clear()
        for model in models:
            text = _("{name} (cannot be used)").format(name=model.label) if model.problem else model.label
            combo.addItem(text, str(model.folder))
            combo.setItemData(combo.count - 1, model.problem or str(model.folder), qt.Qt.ToolTipRole)
        combo.blockSignals(blocked)
        self._models = {str(model.folder): model for model in models}
        self.choose(chosen)

    def choose(self, folder: str) -> None:
        """Choose the model in a folder; an unknown or empty one chooses the first."""
        combo = self._ui.modelComboBox
        index = combo.findData(folder) if folder else -1
        combo.setCurrentIndex(max(index, 0))
        self._onChosen()

    @property
    def folder(self) -> str:
        """Of the model that is chosen; empty if there is none."""
        return self._ui.modelComboBox.currentData or ""

    @property
    def problem(self) -> str:
        """Why the model that is chosen cannot be used; empty if it can."""
        model = self._models.get(self.folder)
        return _("No model is installed.") if model is None else model.problem

    @property
    def card(self) -> dict | None:
        """Of the model that is chosen, None if it cannot be read."""
        return self._read(self.folder)

    def cardOf(self, sha256: str) -> dict | None:
        """The card of the model with these weights, if it is in the list: of a result that another model predicted."""
        cards = (self._read(folder) for folder in self._models)
        return next((card for card in cards if card is not None and card["weights_sha256"] == sha256), None)

    def _read(self, folder: str) -> dict | None:
        if folder and folder not in self._cards:
            try:
                self._cards[folder] = read_card(folder)
            except ChmflError:
                return None
        return self._cards.get(folder)

    def _onChosen(self, index: int = 0) -> None:
        model = self._models.get(self.folder)
        self._ui.removeModelButton.enabled = model is not None and not model.shipped
        if self.problem:
            self._ui.modelCardBrowser.plainText = self.problem
        elif self.card is not None:
            self._ui.modelCardBrowser.html = cardHtml(self.card, self.folder)
        self._onChanged(self.folder)

    def _onCard(self, shown: bool) -> None:
        self._ui.modelCardBrowser.visible = shown

    def _onAdd(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of a model (model.json)"))
        if not folder:
            return
        try:
            added = self._shelf.add(folder)
        except ChmflError as error:
            slicer.util.errorDisplay(f"{error.message}\n\n{error.hint}", windowTitle=_("The model cannot be used"))
            return
        self.refresh(str(added.folder))

    def _onRemove(self) -> None:
        self._shelf.remove(self.folder)
        self.refresh()
