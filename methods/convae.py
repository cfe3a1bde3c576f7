"""ConVAE: a contrastive VAE with SepVAE's architecture and estimate of the total correlation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cabench.method import Settings
from cabench.methods._neurospin import PUBLISHED, TotalCorrelationVAE


@dataclass(kw_only=True, eq=False)
class ConVAE(TotalCorrelationVAE):
    """Aglinskas, Hartshorne and Anzellotti, Science 376, 2022, as the authors of SepVAE released it: METHODS 2.6.

    SepVAE without the prior of background salient codes, without their fixed variance and without the classifier.
    """

    name = "convae"
    title = "ConVAE"
    paper = "Aglinskas et al., Science 376, 2022"
    kind = "generative"
    supervision = "domain"
    replayed = True
    settings: ClassVar[Settings] = {
        "smoke": {"*": {"epochs": 3, "batch_size": 32}},
        "quick": {
            "*": {"epochs": 22, "common_beta": 0.5, "salient_beta": 0.5},
            "schizophrenia_mri": {"epochs": 29},
        },
        "converged": {
            "chexpert_subtypes": {"epochs": 176},
            "cifar_mnist": {"epochs": 88},
            "dsprites_grid": {"epochs": 88},
            "odir_subtypes": {"epochs": 88},
            "schizophrenia_mri": {"epochs": 58},
        },
        "paper": {
            # As for CIFAR-10 + MNIST; nothing is published for ODIR, dSprites and schizophrenia.
            "*": {
                **PUBLISHED,
                "tc_weight": 1.0,
            },
            "celeba_accessories": {"common_dim": 16, "salient_dim": 16, "epochs": 200, "tc_weight": 2.0},
            # As for pneumonia, the radiographs of the release.
            "chexpert_subtypes": {
                "common_dim": 128,
                "salient_dim": 128,
                "epochs": 100,
                "salient_beta": 0.1,
                "tc_weight": 10.0,
            },
            "schizophrenia_mri": {"backbone": "small"},
        },
    }
