"""Programs as tutorials write them: with only the import lines changed they do in fovea what they do
in PyTorch and in Keras. Draws differ, so numbers are compared as far as seeds make them differ.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bench.programs import in_pytorch

os.environ.setdefault("KERAS_BACKEND", "torch")
torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

FOLDER = Path(__file__).parent.parent.parent / "examples" / "programs"

# For each program what it reports: whether more is better, and how far fovea's may lie behind.
REPORTS: dict[str, dict[str, tuple[bool, float]]] = {
    "vae": {"loss": (False, 0.05)},
    "dcgan": {"first": (False, 0.3)},
    "siamese": {"accuracy": (True, 0.04)},
    "spatial_transformer": {"accuracy": (True, 0.04)},
    "distillation": {"teacher": (True, 0.03), "student": (True, 0.05)},
    "vit": {"accuracy": (True, 0.05)},
    "super_resolution": {"error": (False, 0.25)},
    "grad_cam": {"accuracy": (True, 0.04)},
    "ocr_ctc": {"right": (True, 0.15)},
    "mnist": {
        "accuracy": (True, 0.03),
        "loss": (False, 0.3),
        "rate": (False, 1e-6),
        "change": (False, 0.0),
    },
    "fgsm": {"clean": (True, 0.03), "hardened": (True, 0.06), "pgd": (True, 0.08)},
    "checkpoint_resume": {"differing": (False, 0.0), "loss difference": (False, 0.0)},
    "gradient_accumulation": {
        "plain": (True, 0.06),
        "ema": (True, 0.06),
        "swa": (True, 0.06),
        "averaged": (True, 0.0),
    },
    "resnet_one_cycle": {
        "top1": (True, 0.1),
        "top2": (True, 0.08),
        "highest rate": (False, 1e-6),
    },
    "transfer_learning": {
        "pretrained": (True, 0.03),
        "fine-tuned": (True, 0.06),
        "features": (True, 0.06),
        "moved": (False, 0.0),
        "trained": (False, 0.0),
        "refused": (True, 0.0),
    },
    "denoising_autoencoder": {"error": (False, 0.1), "accuracy": (True, 0.05)},
    "unet_segmentation": {"dice": (True, 0.04), "iou": (True, 0.05), "dice of classes": (True, 0.04)},
    "neural_style": {
        "first": (False, 1e-5),
        "thirtieth": (False, 1e-2),
        "content": (False, 1e-2),
    },
    "mixed_precision": {
        "float32": (True, 0.03),
        "mixed": (True, 0.03),
        "bfloat16": (True, 0.04),
        "gap": (False, 2.0),
        "scale": (False, 0.0),
        "tracker": (False, 0.0),
        "skipped": (False, 0.0),
        "overflow": (True, 0.0),
        "types": (True, 0.0),
    },
    "dataloader_workers": {
        "kept": (True, 0.0),
        "seen": (True, 0.0),
        "batches": (True, 0.0),
        "error": (False, 0.2),
    },
    "lstm_rows": {"lstm": (True, 0.1), "packed": (True, 0.1), "cell": (True, 0.1)},
    "localization": {"iou": (True, 0.06), "hit": (True, 0.05), "accuracy": (True, 0.12)},
    "custom_function": {
        "right": (True, 0.0),
        "accuracy": (True, 0.04),
        "levels": (False, 0.0),
        "moved": (True, 0.0),
    },
    "per_sample_gradients": {
        "gap": (False, 0.0),
        "accuracy": (True, 0.15),
        "single": (True, 0.04),
        "together": (True, 0.04),
        "trace": (False, 1e-4),
        "symmetric": (True, 0.0),
        "jacobian": (False, 1e-5),
        "slope": (False, 1e-5),
    },
    "maml": {"last": (False, 0.3), "accuracy": (True, 0.1)},
    "keras_vae": {"loss": (False, 0.1)},
    "keras_multi_output": {"accuracy": (True, 0.05)},
    "keras_mnist_convnet": {
        "accuracy": (True, 0.04),
        "parameters": (False, 0.0),
        "epochs": (True, 0.0),
        "change": (False, 0.0),
    },
    "keras_callbacks": {
        "accuracy": (True, 0.05),
        "rows": (True, 0.0),
        "columns": (True, 0.0),
        "restored": (True, 0.0),
        "rate falls": (True, 0.0),
        "losses fall": (True, 0.0),
    },
    "keras_lr_schedules": {
        "mean": (True, 0.03),
        "worst": (True, 0.04),
        "rates": (False, 1e-5),
        "by callback": (False, 1e-5),
        "by hand": (False, 1e-5),
    },
    "keras_transfer_learning": {
        "frozen": (True, 0.04),
        "fine-tuned": (True, 0.04),
        "moved while frozen": (False, 0.0),
        "statistics moved": (False, 0.0),
        "trainable before": (False, 0.0),
        "trainable after": (False, 0.0),
        "features": (False, 0.0),
    },
    "keras_custom_train_step": {
        "first": (False, 0.1),
        "discriminator": (False, 0.5),
        "steps": (True, 0.0),
    },
    "keras_siamese": {
        "accuracy": (True, 0.06),
        "auc": (True, 0.06),
        "nearest": (True, 0.15),
        "symmetric": (True, 0.0),
        "parameters": (False, 0.0),
        "layers": (False, 0.0),
    },
    "keras_vision_transformer": {
        "accuracy": (True, 0.05),
        "top 3": (True, 0.03),
        "gap": (False, 0.0),
        "parameters": (False, 0.0),
        "patch": (False, 0.0),
        "weights": (False, 0.0),
    },
    "keras_mixed_precision": {
        "float32": (True, 0.06),
        "mixed": (True, 0.06),
        "scaled": (True, 0.12),
        "gap": (False, 4.0),
        "as expected": (True, 0.0),
        "configured": (True, 0.0),
    },
    "keras_augmentation": {
        "accuracy": (True, 0.1),
        "weighted": (True, 0.1),
        "agreement": (True, 0.0),
        "reshuffled": (True, 0.0),
        "history": (True, 0.0),
        "moved": (True, 0.0),
        "still": (False, 0.0),
    },
    "keras_subclassing": {
        "accuracy": (True, 0.05),
        "confidence": (True, 0.08),
        "counted": (False, 0.0),
        "losses": (False, 0.0),
        "gap": (False, 0.0),
        "weights": (False, 0.0),
        "named w": (False, 0.0),
        "copied": (False, 0.0),
        "falls": (True, 0.0),
    },
    "keras_autoencoder": {
        "error": (False, 0.15),
        "noise": (False, 1e-5),
        "found": (True, 0.02),
        "code": (False, 0.0),
        "measured": (False, 0.0),
    },
    "keras_unet": {"dice": (True, 0.15), "iou": (True, 0.15), "parameters": (False, 0.0)},
}


def run(text: str, name: str) -> dict[str, float]:
    namespace: dict[str, Any] = {"__name__": name}
    exec(compile(text, str(FOLDER / f"{name}.py"), "exec"), namespace)
    found: dict[str, float] = namespace["main"]()
    return found


def test_every_program_is_listed() -> None:
    assert {p.stem for p in FOLDER.glob("*.py")} == set(REPORTS)


@pytest.mark.parametrize("name", REPORTS)
def test_program(name: str, request: pytest.FixtureRequest) -> None:
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    changed = in_pytorch(text)
    assert "fovea" not in changed and "fovea" in text
    if name.startswith("keras"):
        pytest.importorskip("keras")
    if "torchvision" in changed:
        request.getfixturevalue("torchvision")
    ours, theirs = run(text, name), run(changed, name)
    assert ours.keys() == theirs.keys() >= REPORTS[name].keys()
    for key, (more, behind) in REPORTS[name].items():
        worst = theirs[key] - behind if more else theirs[key] * (1 + behind)
        good = ours[key] >= worst if more else ours[key] <= worst
        assert good, f"{key}: {ours[key]:.4f}, PyTorch {theirs[key]:.4f}"
