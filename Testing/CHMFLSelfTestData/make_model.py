"""Makes the small, untrained model of the self-tests in the folder that is named: the real road, in little time."""

import sys

import torch
from CHMFLPredictorLib.model.bundle import save_bundle
from CHMFLPredictorLib.network.chmfl import build_network
from CHMFLPredictorLib.network.presets import PRESETS

MEMBERS = 2


def card(preset):
    return {
        "schema_version": 1,
        "name": "small",
        "version": "0.0.1",
        "method": "CHMFL",
        "network": preset.network.to_dict(),
        "preprocessing": preset.preprocessing.to_dict(),
        "members": MEMBERS,
        "training": {"cohort": "none", "citation": "none", "patients": 0, "folds": 0, "epochs": 0},
        "metrics": {"out_of_fold": {"auc": 0.5, "auc_ci": [0.4, 0.6]}, "baseline": {"auc": 0.6, "auc_ci": [0.5, 0.7]}},
        "calibration": {"slope": 1.0, "intercept": 0.0, "bootstrap": [[0.8, -0.1], [1.0, 0.0], [1.2, 0.1]]},
        "threshold": {"value": 0.5, "chosen_by": "fixed"},
        "baseline": {
            "name": "uptake in the box",
            "feature": "log_sum_suv_above_2",
            "mean": 6.0,
            "scale": 1.5,
            "slope": 1.0,
            "intercept": 0.0,
        },
        "out_of_fold": {"risk": [0.1, 0.3, 0.5, 0.7, 0.9, 0.6], "dm": [0, 0, 0, 1, 1, 1]},
        "input_ranges": {},
        "license": "Apache-2.0",
    }


def main():
    preset, members = PRESETS["smoke"], []
    for seed in range(MEMBERS):
        torch.manual_seed(seed)
        members.append(build_network(preset.network).eval().state_dict())
    save_bundle(sys.argv[1], card(preset), members)


if __name__ == "__main__":
    main()
