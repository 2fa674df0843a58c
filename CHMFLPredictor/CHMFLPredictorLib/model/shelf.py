"""The models that a user may choose from: those that ship, and folders that the user added, remembered in a JSON file.

Added models stay where they are. The list is read anew each time, so that several Slicers can share it.
"""

import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from .. import files
from ..errors import BadInput, MissingModel
from . import bundle
from .bundle import CARD_FILE, load_bundle, read_card

_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ShelfModel:
    """A model that can be chosen.

    :ivar name: from its card; of a model that cannot be read, the last that was known.
    :ivar version: likewise.
    :ivar folder: where it lies.
    :ivar shipped: whether it came with the extension; it cannot be removed then.
    :ivar problem: why it cannot be used and what to do; empty if it can. The weights are checked only when the model
        is added and when it predicts.
    :ivar label: name and version for a list, with the folder where these two do not tell two models apart.
    """

    name: str
    version: str
    folder: Path
    shipped: bool
    problem: str = ""
    label: str = ""


class ModelShelf:
    """The list of models.

    :param path: the JSON file; it and its folder are made when the first model is added.
    """

    def __init__(self, path):
        self._path = Path(path)

    @property
    def problem(self) -> str:
        """Why the models that were added are not listed, if the JSON file cannot be read; empty if it can."""
        return self._read()[1]

    def models(self) -> list[ShelfModel]:
        """The shipped models, the default one first, then the added ones in the order of adding."""
        listed = [_look_at(folder, shipped=True) for folder in _shipped_folders()]
        for entry in self._read()[0]:
            if not _holds(listed, entry["folder"]):
                listed.append(_look_at(Path(entry["folder"]), False, entry["name"], entry["version"]))
        return _labeled(listed)

    def add(self, folder) -> ShelfModel:
        """Check a model completely and remember its folder. One that is listed already is not listed twice.

        :param folder: of the bundle, or its model.json.
        :raises MissingModel: it cannot be used, see :func:`.bundle.load_bundle`.
        :raises BadInput: ``shelf_unwritable``: the list cannot be saved.
        """
        folder = Path(os.path.abspath(Path(folder).expanduser()))
        folder = folder.parent if folder.name == CARD_FILE else folder
        card = load_bundle(folder).card
        if not _holds([_look_at(one, shipped=True) for one in _shipped_folders()], folder):
            entries, damage = self._read()
            others = [entry for entry in entries if not _same_folder(entry["folder"], folder)]
            mine = {"folder": str(folder), "name": card["name"], "version": card["version"]}
            known = next((i for i, entry in enumerate(entries) if _same_folder(entry["folder"], folder)), len(others))
            self._write([*others[:known], mine, *others[known:]], damaged=bool(damage))
        return next(model for model in self.models() if _same_folder(model.folder, folder))

    def remove(self, folder) -> None:
        """Forget a folder that was added; its files stay. Forgetting an unknown one changes nothing.

        :raises BadInput: ``model_shipped``: it came with the extension; ``shelf_unwritable``.
        """
        if _holds([_look_at(one, shipped=True) for one in _shipped_folders()], folder):
            text = f"The model in '{folder}' came with the extension."
            raise BadInput("model_shipped", text, "Only models that you added can be removed from the list.")
        entries, _ = self._read()
        kept = [entry for entry in entries if not _same_folder(entry["folder"], folder)]
        if len(kept) < len(entries):
            self._write(kept)

    # Inside ---------------------------------------------------------------------------------------------------------

    def _read(self) -> tuple[list[dict], str]:
        """The entries of the JSON file, and why there are none if it is damaged."""
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            listed = content["models"]
            if not isinstance(listed, list):
                raise TypeError("its models are no list")
        except FileNotFoundError:
            return [], ""
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            return [], f"The list of added models '{self._path}' cannot be read ({reason}). Add the models again."
        entries = []
        for entry in listed:  # what is damaged in one entry costs that entry alone
            if isinstance(entry, dict) and isinstance(entry.get("folder"), str) and entry["folder"]:
                words = {key: str(entry.get(key) or "") for key in ("name", "version")}
                entries.append({"folder": entry["folder"], **words})
        return entries, ""

    def _write(self, entries: list[dict], damaged: bool = False) -> None:
        content = {"schema_version": _SCHEMA_VERSION, "models": entries}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if damaged:  # somebody may want to look into it
                os.replace(self._path, self._path.with_name(f"{self._path.name}.damaged"))
            files.write_bytes(self._path, (json.dumps(content, indent=1) + "\n").encode("ascii"))
        except OSError as error:
            text = f"The list of models '{self._path}' cannot be written: {error.strerror or error}."
            hint = "Check the permissions of its folder and the disk's space."
            raise BadInput("shelf_unwritable", text, hint) from error


def _shipped_folders() -> list[Path]:
    """Folders of the models that came with the extension, the default one first."""
    folders = sorted(card.parent for card in bundle.MODELS_FOLDER.glob(f"*/{CARD_FILE}"))
    try:
        default = bundle.default_bundle()
    except MissingModel:
        return folders
    return sorted(folders, key=lambda folder: folder != default)


def _look_at(folder: Path, shipped: bool, name: str = "", version: str = "") -> ShelfModel:
    """What a folder holds now; name and version serve where its card cannot be read."""
    try:
        card = read_card(folder)
    except MissingModel as error:
        return ShelfModel(name or folder.name, version, folder, shipped, str(error))
    return ShelfModel(card["name"], card["version"], folder, shipped)


def _labeled(models: list[ShelfModel]) -> list[ShelfModel]:
    """Give each model a label of its own: with the folder's name, or all of its path, where it takes that."""
    labels = [f"{model.name} {model.version}".strip() for model in models]
    for distinguishing in (lambda model: model.folder.name, lambda model: str(model.folder)):
        counts = Counter(labels)
        labels = [
            f"{model.name} {model.version} ({distinguishing(model)})" if counts[label] > 1 else label
            for model, label in zip(models, labels, strict=True)
        ]
    return [replace(model, label=label) for model, label in zip(models, labels, strict=True)]


def _holds(models: list[ShelfModel], folder) -> bool:
    return any(_same_folder(model.folder, folder) for model in models)


def _same_folder(first, second) -> bool:
    """Whether two paths lead to one folder, through links and other spellings, even when it is gone."""
    first, second = Path(first), Path(second)
    try:
        return os.path.samefile(first, second)
    except OSError:
        return os.path.normcase(first.resolve()) == os.path.normcase(second.resolve())
