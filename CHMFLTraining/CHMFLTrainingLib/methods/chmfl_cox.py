"""CHMFL + Cox: CHMFL's features under a survival head, the paper's own future work."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..networks.cox_head import CoxHead
from .base import Method
from .chmfl_family import PENG, NetworkMethod
from .cox_method import followed_up, horizon_of, share_by
from .hybrids import load_arrays, save_arrays

HEAD_FILE = "cox_head.npz"


class ChmflCox(NetworkMethod):
    """CHMFL trained to segment, then Cox's model on the features of all its levels. Needs the columns time and event;
    the risk is the probability of the event by ``horizon`` (:class:`.cox_method.CoxMethod`).
    """

    NAME = "CHMFL + Cox"
    GROUP = "baseline"
    ROW = 7
    SOURCE = f"{PENG}; Cox DR. Regression models and life-tables. J R Stat Soc B 1972;34:187-220"
    OPEN = (
        "The paper names survival as future work and says no more. Here: trained in two stages in every preset, since "
        "Cox's likelihood compares patients with each other: CFL's segmentation first, then a linear Cox head on the "
        "pooled features of all levels of both modalities (mean of the random views), with a ridge penalty of 10 to "
        "10 000 chosen by the cross-validated partial likelihood inside the training patients. Baseline hazard and "
        "slope are fitted to scores of patients whom a head did not see."
    )
    OPTIONS = NetworkMethod.OPTIONS - {"w", "inner_folds"} | {"horizon"}

    relevance = Method.relevance  # the maps are of the binary head, whose word this is not

    def __init__(self, settings):
        super().__init__(settings)
        self.head: CoxHead | None = None
        self.horizon, self._outcome = 0.0, {}

    def training_config(self):
        """The preset's, in two stages."""
        from ..training.head import HeadConfig

        config = super().training_config()
        # the binary head of this stage is not used: one weight decay will do
        head = replace(config.head or HeadConfig(), decays=(100.0,))
        return replace(config, head=head)

    def fit(self, cases, folder: Path, on_progress=None) -> None:
        """Train the network, or go on from its checkpoint, then the head (seconds).

        :raises BadInput: time_missing, horizon, survival_no_event, and what reading the patients raises.
        """
        followed, time, event = followed_up(cases, self.NAME)
        self.horizon = horizon_of(self.settings.options, time, event)
        self._outcome = {case.patient_id: row for case, *row in zip(followed, time, event, strict=True)}
        super().fit(followed, folder, on_progress)
        self.threshold = share_by(self.horizon, time, event)

    def predict(self, cases) -> np.ndarray:
        """Probability of the event by the horizon (n,)."""
        return self.head.risk(self.embedding(cases), self.horizon)

    def embedding(self, cases) -> np.ndarray:
        """What the head reads (n, features of all levels), float32."""
        import torch

        vectors = []
        with torch.inference_mode():
            for case in cases:
                x = torch.from_numpy(self._inputs(case)[None]).to(self._device, memory_format=torch.channels_last_3d)
                vectors.append(self.network.head.vector(self.network.encode(x))[0].float().cpu().numpy())
        return np.stack(vectors) if vectors else np.zeros((0, self.network.head.first.in_features), np.float32)

    def state(self, folder: Path) -> dict:
        """As for all, and the head's arrays."""
        save_arrays(Path(folder) / HEAD_FILE, self.head.arrays())
        return super().state(folder) | {"horizon": self.horizon}

    def restore(self, state: dict, folder: Path) -> None:
        """The inverse of :meth:`state`."""
        self.head, self.horizon = CoxHead.from_arrays(load_arrays(Path(folder) / HEAD_FILE)), float(state["horizon"])
        super().restore(state, folder)

    def _calibrate(self, training, crops, folder, progress):
        """Fit the head to what the network's own head was to learn from; there is nothing else to calibrate."""
        views, stage = training.config.head.views, training.head_stage
        patients = [crop.patient_id for crop in training.crops + training.validation]
        features = stage.vectors.cpu().numpy().reshape(views, len(patients), -1).mean(axis=0)
        time, event = np.array([self._outcome[name] for name in patients]).T
        self.head = CoxHead.fit(features, time, event, training.config.head.inner_folds, self.settings.seed)
        return 1.0, 0.0
