"""A model on disk: a folder with ``model.json`` (the card) and ``weights.safetensors``. Reading one never runs code
from it.

Keys of the weights are ``member_<i>.<key of the network's state dict>``. Tensors may be stored as float16; networks
get float32.
"""

import hashlib
import json
import os
import shutil
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import MODULE_FOLDER
from ..errors import BadInput, MissingModel
from ..failures import missing_package
from .weights import ORIGIN, Tensors, altered, stored_array

SCHEMA_VERSION = 1
CARD_FILE, WEIGHTS_FILE = "model.json", "weights.safetensors"
MODELS_FOLDER = MODULE_FOLDER / "Resources" / "Models"
DEFAULT = "sts-dm-compact"  # of the models that ship, the one that did best on patients it had not seen
_PICKLE_SUFFIXES = {".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib", ".dill"}
_TEXTS = ("name", "version", "method", "license", "weights_sha256", "card_sha256")
_TABLES = ("network", "preprocessing", "training", "metrics", "calibration", "threshold", "baseline", "out_of_fold")
_TYPES = dict.fromkeys(_TEXTS, str) | dict.fromkeys((*_TABLES, "input_ranges"), dict) | {"members": int}
_NUMBERS = {
    "calibration": ("slope", "intercept"),
    "threshold": ("value",),
    "baseline": ("mean", "scale", "slope", "intercept"),
}


@dataclass(frozen=True)
class Bundle:
    """A checked model bundle.

    :param card: the content of ``model.json``.
    :param folder: where it lies.
    """

    card: dict
    folder: Path

    @property
    def network_config(self):
        """The :class:`~..network.chmfl.NetworkConfig` of every member (imports torch)."""
        from ..network.chmfl import NetworkConfig

        return self._from_card("network", NetworkConfig)

    @property
    def preprocessing(self):
        """The :class:`~..network.preprocessing.Preprocessing` that the networks expect."""
        from ..network.preprocessing import Preprocessing

        return self._from_card("preprocessing", Preprocessing)

    def networks(self) -> list:
        """Build every member as a float32 torch module in eval mode.

        :raises MissingDependency: torch is not installed.
        :raises MissingModel: the tensors are not those of the card's network (``model_altered``).
        """
        try:
            import torch
        except ModuleNotFoundError as error:
            raise missing_package(error) from error
        from ..network.chmfl import CHMFL

        config, networks = self.network_config, []
        stored = Tensors(self.folder / WEIGHTS_FILE)
        for member in range(self.card["members"]):
            network = CHMFL(config)
            with torch.no_grad():
                for key, value in network.state_dict().items():  # copied in place, which also widens float16
                    value.copy_(torch.from_numpy(stored.take(f"member_{member}.{key}", tuple(value.shape))))
            networks.append(network.eval())
        if stored.entries:
            extra = min(stored.entries)
            raise altered(
                f"{WEIGHTS_FILE} holds {len(stored.entries)} tensors that the card's network lacks, such as {extra}."
            )
        return networks

    def _from_card(self, field: str, configuration):
        try:
            return configuration.from_dict(self.card[field])
        except (TypeError, ValueError, KeyError) as error:
            raise altered(f"The {field} settings in {CARD_FILE} are not usable: {error}.") from error


def default_bundle() -> Path:
    """Return the folder of the model that is taken where none is named: :data:`DEFAULT` where it is there, else the
    highest version.

    :raises MissingModel: there is none (``model_missing``).
    """
    found = [folder.parent for folder in MODELS_FOLDER.glob(f"*/{CARD_FILE}")]
    if not found:
        raise MissingModel(
            "model_missing",
            f"No model lies in {MODELS_FOLDER}.",
            "Reinstall the extension, or name a model with --model.",
        )
    return max(found, key=lambda folder: (folder.name == DEFAULT, _version_of(folder), folder.name))


def load_bundle(folder=None) -> Bundle:
    """Read and check a model bundle: complete, of a known schema, free of pickles, unaltered since it was saved.

    :param folder: the bundle's folder; None for the default model.
    :raises MissingModel: ``model_missing``, ``model_truncated``, ``model_altered``, ``model_newer`` or
        ``model_unsafe``.
    """
    folder = Path(folder) if folder is not None else default_bundle()
    card = read_card(folder)
    try:
        _refuse_pickles(folder)
        _check_weights(folder / WEIGHTS_FILE, card)
    except OSError as error:
        raise _unreadable(folder, error) from error
    return Bundle(card, folder)


def read_card(folder) -> dict:
    """Read and check a bundle's card alone: quick, however large the weights are, which stay unchecked.

    :raises MissingModel: ``model_missing``, ``model_truncated``, ``model_altered`` or ``model_newer``.
    """
    folder = Path(folder)
    try:
        _check_files(folder)
        return _read_card(folder / CARD_FILE)
    except OSError as error:
        raise _unreadable(folder, error) from error


def save_bundle(
    folder, card: dict, members: list[dict], extra_files: dict[str, bytes] | None = None, half: bool = True
) -> Bundle:
    """Write a bundle; an older one in the same place is replaced in the end, all or nothing.

    :param folder: where to write; its parent is made if absent.
    :param card: the card without ``schema_version``, ``members``, ``weights_sha256`` and ``card_sha256``, which are
        filled in here.
    :param members: one state dict (name to torch tensor or numpy array) a member.
    :param extra_files: more files to lay beside, name to content (such as the out-of-fold predictions).
    :param half: store weight matrices and kernels as float16; vectors (biases, normalization) stay float32.
    :raises ValueError: the card lacks a field or weights are not finite.
    """
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.parent / f".{folder.name}-{uuid.uuid4().hex[:8]}"
    temporary.mkdir()
    try:
        tensors = {
            f"member_{i}.{key}": stored_array(key, value, half)
            for i, state in enumerate(members)
            for key, value in state.items()
        }
        save_file(tensors, str(temporary / WEIGHTS_FILE))
        card = {
            "schema_version": SCHEMA_VERSION,
            **card,
            "members": len(members),
            "weights_sha256": _sha256(temporary / WEIGHTS_FILE),
        }
        card = json.loads(json.dumps(card, allow_nan=False))
        card["card_sha256"] = _card_sha256(card)
        if problem := _card_problem(card):
            raise ValueError(problem)
        (temporary / CARD_FILE).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        for name, content in (extra_files or {}).items():
            (temporary / name).write_bytes(content)
        for path in temporary.iterdir():
            path.chmod(0o644)  # safetensors makes its file readable for the owner only
            with open(path, "rb+") as stream:
                os.fsync(stream.fileno())
        load_bundle(temporary).networks()
        _replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return load_bundle(folder)


def _unreadable(folder: Path, error: OSError) -> MissingModel:
    message = f"The model in {folder} cannot be read: {error}."
    return MissingModel("model_missing", message, "Check the folder's permissions.")


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise MissingModel(
            "model_missing",
            f"There is no model folder {folder}.",
            "Name a folder that holds model.json, or leave out --model.",
        )
    for name in (CARD_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise MissingModel("model_missing", f"The model in {folder} has no {name}.", ORIGIN)


def _refuse_pickles(folder: Path) -> None:
    """A pickle runs code when it is opened. Nothing here opens one, but a bundle that carries one is not what it
    claims to be.
    """
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        with open(path, "rb") as stream:
            start = stream.read(4)
        zipped = start[:2] == b"PK" and zipfile.is_zipfile(path)
        pickled = len(start) > 1 and start[0] == 0x80 and 2 <= start[1] <= 5
        if zipped:
            with zipfile.ZipFile(path) as archive:
                zipped = any(Path(name).suffix in _PICKLE_SUFFIXES for name in archive.namelist())
        if zipped or pickled or path.suffix.lower() in _PICKLE_SUFFIXES:
            name = path.relative_to(folder)
            message = f"The model in {folder} holds a pickle, {name}, which could run code. It was not opened."
            raise MissingModel("model_unsafe", message, f"Do not use this copy. {ORIGIN}")


def _read_card(path: Path) -> dict:
    text = path.read_bytes()
    try:
        card = json.loads(text)
    except ValueError as error:
        complete = text.rstrip().endswith(b"}")
        code = "model_altered" if complete else "model_truncated"
        raise MissingModel(code, f"{path} is not valid JSON ({len(text)} bytes): {error}.", ORIGIN) from error
    schema = card.get("schema_version") if isinstance(card, dict) else None
    if isinstance(schema, int) and schema > SCHEMA_VERSION:
        message = f"The model in {path.parent} has schema {schema}; this version reads up to {SCHEMA_VERSION}."
        raise MissingModel("model_newer", message, "Update the extension, or use an older model.")
    if schema != SCHEMA_VERSION or isinstance(schema, bool):
        raise altered(f"{path} names no known schema_version (found {schema!r}).")
    if problem := _card_problem(card):
        raise altered(f"{path}: {problem}")
    if card["card_sha256"] != _card_sha256(card):
        raise altered(f"{path} was changed after it was saved: its checksum does not agree.")
    return card


def _card_problem(card: dict) -> str | None:
    for field, kind in _TYPES.items():
        if field not in card:
            return f"the field {field} is missing."
        if not isinstance(card[field], kind) or isinstance(card[field], bool):
            return f"the field {field} must be {kind.__name__}, not {type(card[field]).__name__}."
    for field, names in _NUMBERS.items():
        for name in names:
            number = card[field].get(name)
            if not isinstance(number, int | float) or not np.isfinite(number):
                return f"the field {field}.{name} must be a number, not {number!r}."
    if card["members"] < 1 or card["baseline"]["scale"] <= 0:
        return "members and baseline.scale must be positive."
    return None


def _check_weights(path: Path, card: dict) -> None:
    Tensors(path)
    found = _sha256(path)
    if found != card["weights_sha256"]:
        raise altered(
            f"{path} was changed: its SHA-256 is {found[:12]}..., the card says {card['weights_sha256'][:12]}...."
        )


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _card_sha256(card: dict) -> str:
    """Checksum of the card's content, whatever its layout."""
    content = {key: value for key, value in card.items() if key != "card_sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _replace_folder(new: Path, folder: Path) -> None:
    if not folder.exists():
        os.replace(new, folder)
        return
    if not folder.is_dir():
        raise BadInput("output_unwritable", f"{folder} is a file, not a folder.", "Choose another place for the model.")
    old = folder.parent / f".{folder.name}-old-{uuid.uuid4().hex[:8]}"
    os.replace(folder, old)
    try:
        os.replace(new, folder)
    except OSError:
        os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _version_of(folder: Path) -> tuple:
    try:
        version = str(json.loads((folder / CARD_FILE).read_bytes()).get("version", ""))
    except (OSError, ValueError, AttributeError):
        return ()
    return tuple(int(part) if part.isdigit() else -1 for part in version.split("."))
