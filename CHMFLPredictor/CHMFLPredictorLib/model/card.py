"""A model's card in a few lines for people."""

from .bundle import load_bundle


def card_text(model=None) -> str:
    """Return the card in short.

    :param model: folder of a bundle; None for the default model.
    :raises MissingModel: it cannot be used.
    """
    bundle = load_bundle(model)
    return describe(bundle.card, bundle.folder)


def describe(card: dict, folder) -> str:
    """Return a card that is read already in short."""
    head = f"{card['name']} {card['version']} ({card['method']}), {card['members']} networks, license {card['license']}"
    rows = [f"  {title.lower():<14}{text}" for title, text in rows_of(card, folder)]
    return "\n".join([head, *rows, "  Research software, not for clinical use."])


def rows_of(card: dict, folder) -> list[tuple[str, str]]:
    """Title and text of each line of a card, what matters most first."""
    training, metrics, threshold = card["training"], card["metrics"], card["threshold"]
    sides = " x ".join(f"{side:g}" for side in box_size_mm(card))
    return [
        ("Out of fold", _metrics(metrics.get("out_of_fold", {}))),
        ("Baseline", f"{_metrics(metrics.get('baseline', {}))} ({card['baseline'].get('name', '?')})"),
        ("Trained on", f"{training.get('patients', '?')} patients, {training.get('folds', '?')} folds"),
        ("Cohort", str(training.get("cohort", "?"))),
        ("Cite", str(training.get("citation", "?"))),
        ("Threshold", f"{threshold['value']:.3g}, chosen by {threshold.get('chosen_by', '?')}"),
        ("Box", f"{sides} mm, voxels of {card['preprocessing']['voxel_mm']:g} mm"),
        ("Folder", str(folder)),
        ("Weights", f"SHA-256 {card['weights_sha256']}"),
    ]


def box_size_mm(card: dict) -> tuple[float, float, float]:
    """The edges of the box that the model reads, in mm along R, A and S."""
    preprocessing = card["preprocessing"]
    return tuple(float(n * preprocessing["voxel_mm"]) for n in preprocessing["size_voxels"])


def _metrics(metrics: dict) -> str:
    words = []
    if isinstance(metrics.get("auc"), int | float):
        interval = metrics.get("auc_ci")
        words.append(f"AUC {metrics['auc']:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""))
    words += [
        f"{name} {metrics[name]:.3f}"
        for name in ("accuracy", "sensitivity", "specificity", "dice")
        if isinstance(metrics.get(name), float)
    ]
    return ", ".join(words) or "not given"
