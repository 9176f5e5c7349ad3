"""Writes fovea/vision/models/published/: the facts about torchvision's published weights.

    python scripts/published_weights.py            # needs torchvision

Addresses, counts, metrics, sizes and names of classes, as the installed torchvision states them;
its sentences stay behind. A test compares the result with torchvision.
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "fovea" / "vision" / "models" / "published"
PACKAGES = ("models", "detection", "segmentation")
LISTS = ("categories", "keypoint_names")


def named(values: list[str], lists: dict[str, list[str]], names: dict[int, str]) -> str:
    """The name under which a list of classes is kept."""
    for name, known in lists.items():
        if known == values:
            return name
    name = names[len(values)]
    lists[name] = values
    return name


def transform(preset: Any) -> list[Any]:
    """A preset's name and the arguments it is made with."""
    keywords = {k: getattr(v, "value", v) for k, v in getattr(preset, "keywords", {}).items()}
    return [getattr(preset, "func", preset).__name__, keywords]


def facts(api: Any) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """All enumerations by name, and the lists that they name."""
    names = {1000: "ImageNet", 91: "COCO", 21: "VOC", 2: "persons", 17: "joints"}
    lists: dict[str, list[str]] = {}
    found: dict[str, Any] = {}
    for model in api.list_models():
        package = api.get_model_builder(model).__module__.split(".")[-2]
        if package not in PACKAGES:
            continue
        weights = api.get_model_weights(model)
        members = {}
        for member in weights:
            meta = {k: v for k, v in member.meta.items() if k != "_docs"}
            for key in LISTS:
                if meta.get(key) is not None:
                    meta[key] = named(meta[key], lists, names)
            preset = transform(member.transforms)
            members[member.name] = {"url": member.url, "transforms": preset, "meta": meta}
        found[weights.__name__] = {
            "model": model,
            "package": package,
            "default": weights.DEFAULT.name,
            "members": members,
        }
    return found, lists


def weights_text(found: dict[str, Any]) -> str:
    """JSON with a line for each member."""
    blocks = []
    for name, entry in sorted(found.items()):
        rows = [f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in entry["members"].items()]
        head = {k: v for k, v in entry.items() if k != "members"}
        opening = f'  {json.dumps(name)}: {json.dumps(head)[:-1]}, "members": {{'
        blocks.append("\n".join([opening, ",\n".join(rows), "  }}"]))
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def lists_text(lists: dict[str, list[str]]) -> str:
    """JSON, the classes of a list in lines."""
    blocks = []
    for name, values in sorted(lists.items()):
        items = json.dumps(values)[1:-1].replace(" ", "\0").replace(",\0", ", ")
        lines = textwrap.wrap(items, 96, break_on_hyphens=False, break_long_words=False)
        body = "\n".join(f"    {line}" for line in lines).replace("\0", " ")
        blocks.append(f"  {json.dumps(name)}: [\n{body}\n  ]")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def main() -> int:
    """Write both files."""
    sys.path.insert(0, str(ROOT))
    from bench.nets.models import torchvision_models
    from fovea.vision.datasets import voc

    found, lists = facts(torchvision_models()._api)
    if lists.pop("VOC") != ["__background__", *voc.VOC_CLASSES]:
        raise SystemExit("Pascal VOC's classes are not those of fovea.vision.datasets.voc")
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "weights.json").write_text(weights_text(found), encoding="utf-8")
    (FOLDER / "classes.json").write_text(lists_text(lists), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
