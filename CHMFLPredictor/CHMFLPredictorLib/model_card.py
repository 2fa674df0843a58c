"""A model's card in a few lines for people."""

from .bundle import load_bundle


def card_text(model=None) -> str:
    """Return the card in short.

    :param model: folder of a bundle; None for the default model.
    :raises MissingModel: it cannot be used.
    """
    bundle = load_bundle(model)
    card = bundle.card
    training, preprocessing = card["training"], card["preprocessing"]
    sides = " x ".join(f"{n * preprocessing['voxel_mm']:g}" for n in preprocessing["size_voxels"])
    lines = [
        f"{card['name']} {card['version']} ({card['method']}), {card['members']} networks, license {card['license']}",
        f"  folder        {bundle.folder}",
        f"  weights       SHA-256 {card['weights_sha256']}",
        f"  box           {sides} mm, voxels of {preprocessing['voxel_mm']:g} mm",
        f"  trained on    {training.get('patients', '?')} patients, {training.get('folds', '?')} folds",
        f"  cohort        {training.get('cohort', '?')}",
        f"  cite          {training.get('citation', '?')}",
        f"  out of fold   {_metrics(card['metrics'].get('out_of_fold', {}))}",
        f"  baseline      {_metrics(card['metrics'].get('baseline', {}))} ({card['baseline'].get('name', '?')})",
        f"  threshold     {card['threshold']['value']:.3g}, chosen by {card['threshold'].get('chosen_by', '?')}",
        "  Research software, not for clinical use.",
    ]
    return "\n".join(lines)


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
