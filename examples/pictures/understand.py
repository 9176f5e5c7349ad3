"""Train a small network on drawn shapes, and look at what it has learned: pictures in a folder.

python examples/pictures/understand.py
"""

from pathlib import Path

import fovea
from fovea import nn, optim
from fovea.metrics.functional import confusion_matrix
from fovea.utils.data import DataLoader
from fovea.vision import explain, plots, utils
from fovea.vision.datasets import Shapes


def network(classes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


def train(model: nn.Module, data: list, epochs: int) -> None:
    optimizer = optim.Adam(model.parameters(), 3e-3)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=epochs * len(data))
    for _ in range(epochs):
        for images, labels in data:
            loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def main(
    folder: str | Path = "understanding", samples: int = 3000, epochs: int = 15, tests: int = 300
) -> float:
    fovea.manual_seed(0)
    target, classes = Path(folder), list(Shapes.classes)
    target.mkdir(parents=True, exist_ok=True)
    model = network(len(classes))
    learn = DataLoader(Shapes(samples, "classification", image_size=48), batch_size=32)
    train(model, list(learn), epochs)

    test = list(DataLoader(Shapes(tests, "classification", image_size=48, seed=1), batch_size=50))
    model.eval()
    with fovea.no_grad():
        scores = fovea.cat([model(images) for images, _ in test])
    labels = fovea.cat([labels for _, labels in test])

    # How good it is, and where it errs.
    counts = confusion_matrix(scores, labels, "multiclass", num_classes=len(classes))
    table = plots.class_table(counts, classes)
    print(table)
    plots.plot_confusion_matrix(counts, classes, target / "confusion.png")
    plots.plot_precision_recall(scores, labels, classes, path=target / "precision_recall.png")
    plots.plot_calibration(scores, labels, path=target / "calibration.png")
    plots.plot_top_losses(plots.top_losses(model, test), classes, path=target / "worst.png")

    # What it looks at: each image, Grad-CAM, and what pixels add to the score.
    images = test[0][0][:6]
    cam = explain.GradCAM(model)
    parts = explain.integrated_gradients(model, images).sum(1).abs().numpy()
    rows = [images]
    for maps in (cam(images), parts):
        rows += [(explain.overlay(i, m) / 255)[None] for i, m in zip(images, maps)]
    utils.save_image(fovea.cat(rows), target / "why.png", nrow=len(images))
    print(f"Grad-CAM looked at layer {cam.layers[0]}")

    # What it is made of.
    explain.plot_features(model, images, at="2").savefig(target / "features.png")
    fovea.draw_model(model, (1, 3, 48, 48), path=target / "model.svg")
    print(f"accuracy {table.accuracy:.2%}; pictures in {target}")
    return table.accuracy


if __name__ == "__main__":
    main()
