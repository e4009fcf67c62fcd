"""Settings of optimizers that are compared with their twins and with PyTorch."""

DECAY = {"weight_decay": 0.1}
SETTINGS = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd-decay": ("SGD", {"lr": 0.1, **DECAY}),
    "momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, **DECAY}),
    "nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, **DECAY}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop-momentum": ("RMSprop", {"alpha": 0.9, "eps": 1e-3, "momentum": 0.8, **DECAY}),
    "adam": ("Adam", {}),
    "adam-parameters": ("Adam", {"lr": 0.1, "betas": (0.7, 0.95), "eps": 1e-3, **DECAY}),
    "adamw": ("AdamW", {}),
    "adamw-parameters": ("AdamW", {"lr": 0.1, "betas": (0.0, 0.5), "eps": 1e-3, **DECAY}),
    "nadam": ("NAdam", {}),
    "nadam-parameters": (
        "NAdam",
        {"lr": 0.1, "betas": (0.5, 0.9), "momentum_decay": 0.5, **DECAY},
    ),
    "nadam-no-momentum": ("NAdam", {"betas": (0.0, 0.9), "momentum_decay": 0.0, "eps": 1e-3}),
    "lion": ("Lion", {}),
    "lion-parameters": ("Lion", {"lr": 0.01, "betas": (0.5, 0.8), **DECAY}),
}

# Settings that are compared with their twins alone.
VARIANTS = {
    "dampening": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, **DECAY}),
    "rmsprop-centered": ("RMSprop", {"centered": True}),
    "rmsprop-centered-parameters": (
        "RMSprop",
        {"alpha": 0.8, "eps": 1e-3, "momentum": 0.8, "centered": True, **DECAY},
    ),
    "adam-amsgrad": ("Adam", {"lr": 0.1, "betas": (0.5, 0.6), "amsgrad": True, **DECAY}),
    "adamw-amsgrad": ("AdamW", {"lr": 0.1, "betas": (0.9, 0.8), "amsgrad": True, **DECAY}),
    "nadam-decoupled": ("NAdam", {"lr": 0.01, "decoupled_weight_decay": True, **DECAY}),
}
