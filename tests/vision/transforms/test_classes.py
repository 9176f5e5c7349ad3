"""Transform classes: torchvision's signatures, right distributions, and seeds that fix the
result.
"""

from __future__ import annotations

import inspect
import itertools
import math
import pickle
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError
from fovea.utils.data import DataLoader, TensorDataset
from fovea.vision import transforms as T
from fovea.vision.transforms import InterpolationMode
from tests.vision.transforms.reference import close, image, ours

NAMES = [
    "CenterCrop", "ColorJitter", "Compose", "ConvertImageDtype", "GaussianBlur", "Grayscale",
    "Lambda", "Normalize", "PILToTensor", "Pad", "RandomAffine", "RandomApply", "RandomChoice",
    "RandomCrop", "RandomErasing", "RandomGrayscale", "RandomHorizontalFlip", "RandomOrder",
    "RandomResizedCrop", "RandomRotation", "RandomVerticalFlip", "Resize", "ToPILImage",
    "ToTensor",
]  # fmt: skip


def plain(value: Any) -> Any:
    return value.name if type(value).__name__ == "InterpolationMode" else value


@pytest.mark.parametrize("name", NAMES)
def test_signatures_are_torchvisions(name: str, torchvision: Any) -> None:
    mine = inspect.signature(getattr(T, name)).parameters.values()
    theirs = inspect.signature(getattr(torchvision.transforms, name)).parameters.values()
    assert [(p.name, plain(p.default)) for p in mine] == [
        (p.name, plain(p.default)) for p in theirs
    ]


def test_functional_signatures_are_torchvisions(torchvision: Any) -> None:
    for name in T.functional.__all__:
        if name in ("InterpolationMode", "to_dtype"):
            continue
        mine = inspect.signature(getattr(T.functional, name)).parameters.values()
        theirs = inspect.signature(
            getattr(torchvision.transforms.functional, name)
        ).parameters.values()
        assert [p.name for p in mine] == [p.name for p in theirs], name
        for a, b in zip(mine, theirs, strict=True):
            if name != "convert_image_dtype":  # theirs has torch.float32
                assert plain(a.default) == plain(b.default), (name, a.name)


def test_modes_are_torchvisions(torchvision: Any) -> None:
    theirs = torchvision.transforms.InterpolationMode
    assert {m.name: m.value for m in InterpolationMode} == {m.name: m.value for m in theirs}
    for number in range(6):
        from_number = torchvision.transforms.functional._interpolation_modes_from_int(number)
        assert T.Resize(4, interpolation=number).interpolation.name == from_number.name


RANDOM: dict[str, Callable[[], Any]] = {
    "crop": lambda: T.RandomCrop(8, padding=2),
    "resized crop": lambda: T.RandomResizedCrop((7, 9)),
    "flip": lambda: T.RandomHorizontalFlip(),
    "vertical flip": lambda: T.RandomVerticalFlip(),
    "rotation": lambda: T.RandomRotation(30),
    "affine": lambda: T.RandomAffine(
        20, (0.1, 0.2), (0.8, 1.2), (-5, 5, -3, 3), InterpolationMode.BILINEAR
    ),
    "jitter": lambda: T.ColorJitter(0.4, 0.4, 0.4, 0.2),
    "gray": lambda: T.RandomGrayscale(0.5),
    "erasing": lambda: T.RandomErasing(0.8, value="random"),
    "blur": lambda: T.GaussianBlur(3),
    "apply": lambda: T.RandomApply([T.RandomRotation(30)], 0.7),
    "choice": lambda: T.RandomChoice([T.RandomVerticalFlip(1.0), T.Grayscale(3)], [1, 2]),
    "order": lambda: T.RandomOrder([T.RandomCrop(9), T.RandomRotation(20)]),
}


@pytest.mark.parametrize("name", RANDOM)
def test_seeds_fix_the_result(name: str) -> None:
    x = ours(image((3, 12, 14), "float32"))

    def run(seed: int) -> list[list[Any]]:
        fovea.manual_seed(seed)
        step = RANDOM[name]()
        return [step(x).tolist() for _ in range(8)]

    first = run(1)
    assert run(1) == first
    assert run(2) != first
    assert any(a != b for a, b in itertools.pairwise(first))


@pytest.mark.parametrize("name", RANDOM)
def test_transforms_pickle_and_print(name: str) -> None:
    step = RANDOM[name]()
    again = pickle.loads(pickle.dumps(step))
    assert repr(again) == repr(step) and repr(step).startswith(type(step).__name__)


class Augmented(TensorDataset):
    """Rows of a tensor, each through a random transform."""

    def __getitem__(self, index: Any) -> Any:
        step = T.Compose([T.RandomCrop(8, padding=2), T.RandomHorizontalFlip(), T.ColorJitter(0.5)])
        return step(super().__getitem__(index)[0])


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_workers_draw_what_one_thread_draws(kind: str) -> None:
    data = Augmented(ours(image((12, 3, 8, 8), "float32")))

    def run(**more: Any) -> list[Any]:
        fovea.manual_seed(4)
        return [b.tolist() for b in DataLoader(data, 4, shuffle=True, **more)]

    assert run(num_workers=2, worker_type=kind) == run()


def test_fixed_transforms_are_the_functions(torchvision: Any) -> None:
    torch = pytest.importorskip("torch")
    array = image((3, 13, 18), "float32")
    theirs = torchvision.transforms
    for name, arguments in {
        "Resize": ((6, 7),), "CenterCrop": (5,), "Pad": ((1, 2),), "Grayscale": (3,),
        "Normalize": ([0.5] * 3, [0.2] * 3),
    }.items():  # fmt: skip
        found = getattr(T, name)(*arguments)(ours(array))
        close(found, getattr(theirs, name)(*arguments)(torch.from_numpy(array)))


# Distributions


def test_flip_probability() -> None:
    fovea.manual_seed(0)
    x = fovea.tensor([[[0.0, 1.0]]])
    for p in (0.0, 0.3, 1.0):
        step = T.RandomHorizontalFlip(p)
        flipped = sum(step(x)[0, 0, 0].item() for _ in range(1000))
        assert abs(flipped / 1000 - p) < 0.05 * (0 < p < 1) + 1e-9


def test_crop_places_are_even() -> None:
    fovea.manual_seed(0)
    x = fovea.zeros(1, 6, 4)
    counts = Counter(T.RandomCrop.get_params(x, (4, 4))[:2] for _ in range(1500))
    assert set(counts) == {(0, 0), (1, 0), (2, 0)} and min(counts.values()) > 420
    assert T.RandomCrop.get_params(x, (6, 4)) == (0, 0, 6, 4)


def test_crop_pads_if_needed() -> None:
    x = fovea.ones(1, 3, 9)
    y = T.RandomCrop((6, 5), pad_if_needed=True, fill=2)(x)
    assert y.shape == (1, 6, 5) and (y[0] == 2).any()
    with pytest.raises(ArgumentError, match="pad_if_needed"):
        T.RandomCrop(6)(x)


def test_resized_crop_boxes() -> None:
    fovea.manual_seed(0)
    x = fovea.zeros(1, 60, 80)
    shares, shapes = [], []
    for _ in range(400):
        i, j, h, w = T.RandomResizedCrop.get_params(x, (0.1, 0.5), (0.5, 2.0))
        assert 0 <= i <= 60 - h and 0 <= j <= 80 - w
        shares.append(h * w / 4800)
        shapes.append(math.log(w / h))
    assert min(shares) > 0.09 and max(shares) < 0.52 and abs(np.mean(shares) - 0.3) < 0.03
    assert min(shapes) > -0.75 and max(shapes) < 0.75 and abs(np.mean(shapes)) < 0.1


def test_resized_crop_falls_back_to_the_middle() -> None:
    long = fovea.zeros(1, 10, 100)
    assert T.RandomResizedCrop.get_params(long, (1, 1), (0.75, 4 / 3)) == (0, 43, 10, 13)
    tall = fovea.zeros(1, 100, 10)
    assert T.RandomResizedCrop.get_params(tall, (1, 1), (0.75, 4 / 3)) == (43, 0, 13, 10)


def test_angles_and_maps_are_in_range() -> None:
    fovea.manual_seed(0)
    angles = [T.RandomRotation.get_params((-30.0, 10.0)) for _ in range(500)]
    assert -30 <= min(angles) < -27 and 7 < max(angles) <= 10
    for _ in range(100):
        angle, shift, factor, shear = T.RandomAffine.get_params(
            (-5, 5), (0.1, 0.2), (0.5, 2.0), (-1, 1, -2, 2), (50, 30)
        )
        assert abs(angle) <= 5 and abs(shift[0]) <= 5 and abs(shift[1]) <= 6
        assert 0.5 <= factor <= 2 and abs(shear[0]) <= 1 and abs(shear[1]) <= 2
        assert all(isinstance(s, int) for s in shift)
    assert T.RandomAffine.get_params((0, 0), None, None, None, (9, 9)) == (
        0,
        (0, 0),
        1.0,
        (0.0, 0.0),
    )


def test_jitter_ranges() -> None:
    jitter = T.ColorJitter(0.4, (0.5, 0.6), 2, 0.1)
    assert jitter.brightness == (0.6, 1.4) and jitter.contrast == (0.5, 0.6)
    assert jitter.saturation == (0.0, 3.0) and jitter.hue == (-0.1, 0.1)
    assert T.ColorJitter().brightness is None and T.ColorJitter(hue=0).hue is None
    orders = {tuple(T.ColorJitter.get_params((0, 1), None, None, None)[0]) for _ in range(200)}
    assert len(orders) == 24
    _, b, c, s, h = T.ColorJitter.get_params((0.2, 0.3), None, None, (-0.1, 0.1))
    assert b is not None and 0.2 <= b <= 0.3 and c is s is None and h is not None


def test_choice_weights() -> None:
    fovea.manual_seed(0)
    step = T.RandomChoice([lambda x: "a", lambda x: "b", lambda x: "c"], p=[1, 0, 3])
    counts = Counter(step(None) for _ in range(1000))
    assert set(counts) == {"a", "c"} and 200 < counts["a"] < 300
    even = Counter(T.RandomChoice([lambda x: "a", lambda x: "b"])(0) for _ in range(600))
    assert min(even.values()) > 240


def test_erasing() -> None:
    fovea.manual_seed(0)
    x = fovea.ones(3, 20, 30)
    for value in (0, [2.0, 3.0, 4.0], "random"):
        y = T.RandomErasing(1.0, (0.1, 0.3), value=value)(x)
        changed = (y != x)[0].float().mean().item()
        assert 0.05 < changed < 0.4
        if isinstance(value, list):
            assert sorted(set(y[2].flatten().tolist())) == [1.0, 4.0]
    assert x.min().item() == 1
    assert T.RandomErasing(0.0)(x) is x
    step = T.RandomErasing(1.0, inplace=True)
    assert step(x) is x and x.min().item() == 0
    with pytest.raises(ArgumentError, match="3 channels"):
        T.RandomErasing(1.0, value=[1.0, 2.0])(x)


def test_pil_images_pass_through_random_transforms() -> None:
    pil = pytest.importorskip("PIL.Image")
    picture = pil.fromarray(image((3, 40, 50)).transpose(1, 2, 0).copy())
    step = T.Compose([
        T.Resize(36), T.RandomResizedCrop(32), T.RandomHorizontalFlip(), T.RandomVerticalFlip(),
        T.RandomRotation(10), T.RandomAffine(5, (0.1, 0.1), shear=3),
        T.ColorJitter(0.3, 0.3, 0.3, 0.1), T.RandomGrayscale(), T.GaussianBlur(3),
        T.RandomCrop(32, padding=2), T.Pad(1), T.CenterCrop(32),
        T.PILToTensor(), T.ConvertImageDtype(fovea.float32), T.Normalize([0.5] * 3, [0.5] * 3),
        T.RandomErasing(),
    ])  # fmt: skip
    x = step(picture)
    assert x.shape == (3, 32, 32) and x.dtype is fovea.float32
    assert T.Compose([T.ToPILImage(), T.ToTensor()])(ours(image((3, 4, 4)))).shape == (3, 4, 4)


def test_lambda_and_own_transforms() -> None:
    class Twice(T.Transform):
        def forward(self, img: Any) -> Any:
            return img * 2

    assert T.Compose([Twice(), T.Lambda(lambda x: x + 1)])(3) == 7
    assert repr(T.Compose([Twice()])) == "Compose(\n    Twice()\n)"
    with pytest.raises(NotImplementedError):
        T.Transform()(1)


REFUSED: list[Callable[[], Any]] = [
    lambda: T.Resize((1, 2, 3)),
    lambda: T.Resize(4, interpolation="best"),
    lambda: T.Pad((1, 2, 3)),
    lambda: T.Pad(1, padding_mode="wrap"),
    lambda: T.RandomHorizontalFlip(1.5),
    lambda: T.RandomRotation(-5),
    lambda: T.RandomRotation((1, 2, 3)),
    lambda: T.RandomRotation(5, center=(1, 2, 3)),
    lambda: T.RandomAffine(5, translate=(0.1, 2)),
    lambda: T.RandomAffine(5, translate=(0.1,)),
    lambda: T.RandomAffine(5, scale=(0, 1)),
    lambda: T.RandomAffine(5, shear=(1, 2, 3)),
    lambda: T.ColorJitter(-1),
    lambda: T.ColorJitter(hue=0.6),
    lambda: T.ColorJitter(contrast=(2, 1)),
    lambda: T.ColorJitter(contrast=(1, 2, 3)),
    lambda: T.GaussianBlur(4),
    lambda: T.GaussianBlur(3, 0),
    lambda: T.GaussianBlur(3, (2, 1)),
    lambda: T.RandomErasing(p=2),
    lambda: T.RandomErasing(scale=(0.5, 0.1)),
    lambda: T.RandomErasing(value="noise"),
    lambda: T.RandomChoice([abs], p=[1, 2]),
    lambda: T.RandomChoice([abs], p=[0]),
    lambda: T.RandomChoice([]),
    lambda: T.RandomResizedCrop(4, scale=(0.0, 1.0)),
    lambda: T.Lambda(3),  # type: ignore[arg-type]
    lambda: T.Compose(abs),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("make", REFUSED)
def test_refusals(make: Callable[[], Any]) -> None:
    with pytest.raises(ArgumentError):
        make()


def test_odd_ranges_warn() -> None:
    with pytest.warns(UserWarning, match="min, max"):
        T.RandomResizedCrop(4, scale=(1.0, 0.5))
