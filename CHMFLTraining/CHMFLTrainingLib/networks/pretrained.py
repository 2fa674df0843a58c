"""ImageNet weights of ResNets: from a file that the user names, or torchvision's own, downloaded once.

torchvision's files carry the first eight digits of their SHA-256 in their names, which is checked before a file is
read. They are read without running anything from them.
"""

from __future__ import annotations

import hashlib
import logging
import re
import urllib.request
from http.client import HTTPException
from pathlib import Path

from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.files import write_bytes

ADDRESS = "https://download.pytorch.org/models/"
FILES = {18: "resnet18-f37072fd.pth", 34: "resnet34-b627a593.pth", 50: "resnet50-0676ba61.pth"}  # IMAGENET1K_V1
SECONDS = 60  # without a byte from the server
_OWN_FILE = "Download {name} from {address} elsewhere and name the file or its folder in the option weights."
_LOG = logging.getLogger(__name__)


def resnet_weights(depth: int, options: dict) -> dict:
    """State dict of a ResNet without its last layer, checked against the network's names and shapes.

    :param options: of the run: ``weights`` is a file or a folder of files whose names begin with ``resnet18`` and so
        on; without it torchvision's file comes from the folder that torchvision itself uses, or from the net.
    :raises BadInput: ``weights_absent``, ``weights_unavailable``, ``weights_damaged``, ``weights_unreadable``,
        ``weights_mismatch``.
    """
    named = options.get("weights")
    path = found_weights(depth, Path(named)) if named else downloaded_weights(depth)
    check_digest(path)
    return fitting(read_weights(path), depth, path)


def found_weights(depth: int, place: Path) -> Path:
    """The file that the user named, or the one for this depth in the named folder."""
    if place.is_file():
        return place
    fitting_names = (".pth", ".pt", ".safetensors")
    found = sorted(path for path in place.glob(f"resnet{depth}[-._]*") if path.suffix in fitting_names)
    if not found:
        text = f"There are no weights of a ResNet{depth} at {place}."
        raise BadInput("weights_absent", text, f"Give a file, or a folder that holds {FILES[depth]}.")
    return found[0]


def downloaded_weights(depth: int, folder: Path | None = None, address: str = ADDRESS) -> Path:
    """The file of torchvision, downloaded if it is not there yet; an altered one is not kept.

    :param folder: where it lies; None for torchvision's own folder.
    """
    if folder is None:
        import torch

        folder = Path(torch.hub.get_dir()) / "checkpoints"
    path, name = folder / FILES[depth], FILES[depth]
    if path.exists():
        return path
    hint = _OWN_FILE.format(name=name, address=address)
    _LOG.info("downloading %s%s", address, name)
    try:
        with urllib.request.urlopen(address + name, timeout=SECONDS) as answer:
            data = answer.read()
    except (OSError, HTTPException) as error:
        text = f"The weights {address}{name} cannot be downloaded: {error}."
        raise BadInput("weights_unavailable", text, hint) from error
    if not _digest_fits(name, hashlib.sha256(data).hexdigest()):
        text = f"What {address}{name} sent ({len(data)} bytes) is not the file of that name."
        raise BadInput("weights_damaged", text, f"Try again. {hint}")
    write_bytes(path, data)
    return path


def check_digest(path: Path) -> None:
    """Refuse a file that is not what its name says (``name-<first eight digits of the SHA-256>.pth``)."""
    with open(path, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if not _digest_fits(path.name, digest):
        text = f"The weights {path} are damaged: their SHA-256 begins with {digest[:8]}, unlike their name."
        raise BadInput("weights_damaged", text, "Delete the file; it is downloaded again, or copy it again.")


def read_weights(path: Path) -> dict:
    """Names to tensors, from a .safetensors file or one of ``torch.save``, of which nothing is run."""
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
            raise TypeError("it does not hold names and tensors")
    except Exception as error:  # a damaged file raises whatever its bytes happen to look like
        text = f"The weights {path} cannot be read: {type(error).__name__}: {error}."
        raise BadInput("weights_unreadable", text, "Give a state dict, as torchvision's files hold it.") from error
    return dict(state)


def fitting(state: dict, depth: int, path: Path) -> dict:
    """The part of a state dict that a ResNet of this depth takes: all but the 1000 classes of its last layer."""
    import torch

    from .resnets import resnet

    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    expected = resnet(depth, width_of(state)).state_dict()
    for name, value in expected.items():
        if name.endswith("num_batches_tracked"):  # older files lack it, and nothing reads it
            state.setdefault(name, value)
    wrong = sorted(set(state) ^ set(expected))
    wrong += [name for name in expected if name in state and state[name].shape != expected[name].shape]
    if wrong:
        text = f"The weights {path} are not those of a ResNet{depth}: {len(wrong)} names or shapes differ, first "
        raise BadInput("weights_mismatch", f"{text}{wrong[0]}.", f"Give {FILES[depth]} or a file like it.")
    if not all(torch.isfinite(value).all() for value in state.values()):
        hint = "Get the file again from where it came from."
        raise BadInput("weights_damaged", f"The weights {path} hold values that are not finite.", hint)
    return state


def width_of(state: dict) -> float:
    """Share of a ResNet's usual channels that a state dict has; 1 where that cannot be told."""
    stem = state.get("conv1.weight")
    channels = stem.shape[0] if stem is not None and stem.ndim else 0
    return channels / 64 if 1 <= channels <= 64 else 1.0


def _digest_fits(name: str, digest: str) -> bool:
    promised = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    return promised is None or digest.startswith(promised[1])
