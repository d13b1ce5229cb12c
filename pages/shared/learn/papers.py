"""Where the formulas come from."""

PAPERS = {
    "survey": ("Pan & Yang 2010, A Survey on Transfer Learning", "https://doi.org/10.1109/TKDE.2009.191"),
    "features": ("Yosinski et al. 2014, How transferable are features in deep neural networks?",
                 "https://arxiv.org/abs/1411.1792"),
    "lwf": ("Li & Hoiem 2016, Learning without Forgetting", "https://arxiv.org/abs/1606.09282"),
    "multitask": ("Caruana 1997, Multitask Learning", "https://doi.org/10.1023/A:1007379606734"),
    "ridge": ("Hoerl & Kennard 1970, Ridge Regression", "https://doi.org/10.1080/00401706.1970.10488634"),
    "lasso": ("Tibshirani 1996, Regression Shrinkage and Selection via the Lasso",
              "https://doi.org/10.1111/j.2517-6161.1996.tb02080.x"),
    "l2_sp": ("Li et al. 2018, Explicit Inductive Bias for Transfer Learning", "https://arxiv.org/abs/1802.01483"),
    "probe": ("Kumar et al. 2022, Fine-Tuning can Distort Pretrained Features", "https://arxiv.org/abs/2202.10054"),
    "forgetting": ("McCloskey & Cohen 1989, Catastrophic Interference", "https://doi.org/10.1016/S0079-7421%2808%2960536-8"),
    "wise": ("Wortsman et al. 2022, Robust Fine-Tuning of Zero-Shot Models", "https://arxiv.org/abs/2109.01903"),
    "wilson": ("Wilson 1927, Probable Inference", "https://doi.org/10.1080/01621459.1927.10502953"),
    "copies": ("Barz & Denzler 2020, Do We Train on Test Data?", "https://arxiv.org/abs/1902.00423"),
    "batchnorm": ("Ioffe & Szegedy 2015, Batch Normalization", "https://arxiv.org/abs/1502.03167"),
    "holdout": ("Dwork et al. 2015, The reusable holdout", "https://doi.org/10.1126/science.aaa9375"),
    "timm": ("timm, resolve_model_data_config", "https://huggingface.co/docs/timm/quickstart"),
}
"""Name → (authors, year and title; address)."""
