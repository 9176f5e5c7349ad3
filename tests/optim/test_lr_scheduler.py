"""Schedules: each follows PyTorch's for dozens of steps, alone, combined, saved and resumed."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import fovea
from fovea import optim
from fovea.errors import ArgumentError
from fovea.optim import lr_scheduler
from fovea.optim.lr_scheduler import schedules

torch = pytest.importorskip("torch")

# A chain inside a sequence steps its members when it is made, in both libraries.
pytestmark = pytest.mark.filterwarnings("ignore:.*before .*optimizer.step:UserWarning")

Make = Callable[[Any, Any], Any]  # (the module lr_scheduler, an optimizer) -> a scheduler


def optimizers(name: str = "SGD", **options: Any) -> list[Any]:
    """The same optimizer with two groups, in fovea and in PyTorch."""
    made = []
    for library in (fovea, torch):
        groups = [
            {"params": [library.zeros(2, requires_grad=True)]},
            {"params": [library.ones(3, requires_grad=True)], "lr": 0.05},
        ]
        made.append(getattr(library.optim, name)(groups, lr=0.5, **options))
    return made


def rates(optimizer: Any) -> list[float]:
    return [float(g["lr"]) for g in optimizer.param_groups]


def momenta(optimizer: Any) -> list[float]:
    return [g["betas"][0] if "betas" in g else g["momentum"] for g in optimizer.param_groups]


def library_of(optimizer: Any) -> Any:
    return lr_scheduler if isinstance(optimizer, optim.Optimizer) else torch.optim.lr_scheduler


def quiet_step(optimizer: Any, scheduler: Any, *args: Any) -> None:
    optimizer.step()
    scheduler.step(*args)


SCHEDULERS: dict[str, Make] = {
    "step": lambda s, o: s.StepLR(o, 7, gamma=0.3),
    "step defaults": lambda s, o: s.StepLR(o, 20),
    "multi step": lambda s, o: s.MultiStepLR(o, [3, 20, 20, 41], gamma=0.5),
    "multi step at 0": lambda s, o: s.MultiStepLR(o, [0, 4]),
    "constant": lambda s, o: s.ConstantLR(o, factor=0.25, total_iters=9),
    "constant defaults": lambda s, o: s.ConstantLR(o),
    "linear": lambda s, o: s.LinearLR(o, start_factor=0.01, total_iters=12),
    "linear down": lambda s, o: s.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=30),
    "linear defaults": lambda s, o: s.LinearLR(o),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.93),
    "polynomial": lambda s, o: s.PolynomialLR(o, total_iters=40, power=1.7),
    "polynomial defaults": lambda s, o: s.PolynomialLR(o),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, T_max=50),
    "cosine back and forth": lambda s, o: s.CosineAnnealingLR(o, T_max=9, eta_min=0.01),
    "warm restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, T_0=11),
    "longer restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, T_mult=2, eta_min=0.001),
    "lambda": lambda s, o: s.LambdaLR(o, lambda t: 1 / (1 + t)),
    "two lambdas": lambda s, o: s.LambdaLR(o, [lambda t: 0.9**t, lambda t: 1 + t]),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda t: 0.95),
    "one cycle": lambda s, o: s.OneCycleLR(o, max_lr=1.0, total_steps=60),
    "one cycle linear": lambda s, o: s.OneCycleLR(
        o, [1.0, 2.0], epochs=6, steps_per_epoch=10, anneal_strategy="linear", pct_start=0.45
    ),
    "three phases": lambda s, o: s.OneCycleLR(
        o, 1.0, total_steps=60, three_phase=True, div_factor=10.0, final_div_factor=50.0
    ),
    "cyclic": lambda s, o: s.CyclicLR(o, 0.01, 0.1, step_size_up=7),
    "cyclic halving": lambda s, o: s.CyclicLR(
        o, [0.01, 0.02], [0.1, 0.3], step_size_up=5, step_size_down=8, mode="triangular2"
    ),
    "cyclic shrinking": lambda s, o: s.CyclicLR(
        o, 0.01, 0.1, step_size_up=4, mode="exp_range", gamma=0.97, cycle_momentum=False
    ),
    "cyclic own": lambda s, o: s.CyclicLR(
        o, 0.01, 0.1, step_size_up=6, scale_fn=lambda x: 1 / x, scale_mode="cycle"
    ),
    "warm-up then cosine": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=5), s.CosineAnnealingLR(o, T_max=50)], milestones=[5]
    ),
    "three in a row": lambda s, o: s.SequentialLR(
        o,
        [s.ConstantLR(o, 0.1, total_iters=4), s.ExponentialLR(o, 0.9), s.StepLR(o, 3)],
        milestones=[4, 20],
    ),
    "chained": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.1, total_iters=20), s.ExponentialLR(o, 0.9)]
    ),
    "chained cosine": lambda s, o: s.ChainedScheduler(
        [s.LinearLR(o, 0.1, total_iters=10), s.CosineAnnealingLR(o, T_max=15, eta_min=0.001)]
    ),
    "chain in a row": lambda s, o: s.SequentialLR(
        o,
        [
            s.ChainedScheduler([s.StepLR(o, 2, 0.9), s.LinearLR(o, 0.5, total_iters=6)]),
            s.ExponentialLR(o, 0.95),
        ],
        milestones=[8],
    ),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_rates_follow_pytorch(name: str) -> None:
    ours, theirs = optimizers(momentum=0.9)
    mine, other = (SCHEDULERS[name](library_of(o), o) for o in (ours, theirs))
    for step in range(55):
        assert rates(ours) == pytest.approx(rates(theirs), rel=1e-9, abs=1e-14), step
        assert momenta(ours) == pytest.approx(momenta(theirs), rel=1e-12), step
        assert mine.get_last_lr() == rates(ours)
        for o, s in ((ours, mine), (theirs, other)):
            quiet_step(o, s)


@pytest.mark.parametrize("name", ["one cycle", "cyclic"])
def test_momentum_cycles_through_beta1(name: str) -> None:
    ours, theirs = optimizers("Adam")
    mine, other = (SCHEDULERS[name](library_of(o), o) for o in (ours, theirs))
    for _ in range(30):
        assert momenta(ours) == pytest.approx(momenta(theirs), rel=1e-12)
        quiet_step(ours, mine)
        quiet_step(theirs, other)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedule_is_a_pure_function_of_the_step(name: str) -> None:
    (ours, _) = optimizers(momentum=0.9)
    scheduler = SCHEDULERS[name](lr_scheduler, ours)
    if name == "multiplicative" or name.startswith("chain"):
        return  # they depend on the rate before
    seen = []
    for _ in range(40):
        seen.append(rates(ours))
        quiet_step(ours, scheduler)
    for step in (39, 0, 17, 3):
        assert [scheduler.schedule(step, g) for g in (0, 1)] == pytest.approx(seen[step], rel=1e-9)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_state_dict_resumes(name: str) -> None:
    make = SCHEDULERS[name]
    (first, _) = optimizers(momentum=0.9)
    scheduler = make(lr_scheduler, first)
    for _ in range(13):
        quiet_step(first, scheduler)
    saved, saved_optimizer = copy.deepcopy(scheduler.state_dict()), first.state_dict()
    assert "optimizer" not in saved
    (second, _) = optimizers(momentum=0.9)
    resumed = make(lr_scheduler, second)
    second.load_state_dict(saved_optimizer)
    resumed.load_state_dict(saved)
    for _ in range(20):
        quiet_step(first, scheduler)
        quiet_step(second, resumed)
        assert rates(first) == rates(second)


@pytest.mark.parametrize(
    "name", ["step", "multi step", "constant", "linear", "exponential", "cosine", "lambda",
             "polynomial", "warm restarts", "multiplicative"]
)  # fmt: skip
def test_going_on_from_an_epoch_is_as_in_pytorch(name: str) -> None:
    ours, theirs = optimizers(momentum=0.9)
    for o in (ours, theirs):
        for group in o.param_groups:
            group["initial_lr"] = group["lr"] * 2
    mine, other = (_from_epoch(name, library_of(o), o, 19) for o in (ours, theirs))
    for _ in range(10):
        assert rates(ours) == pytest.approx(rates(theirs), rel=1e-9)
        quiet_step(ours, mine)
        quiet_step(theirs, other)


def _from_epoch(name: str, s: Any, o: Any, last: int) -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "step": lambda: s.StepLR(o, 5, last_epoch=last),
        "multi step": lambda: s.MultiStepLR(o, [20, 25], last_epoch=last),
        "constant": lambda: s.ConstantLR(o, 0.5, 22, last_epoch=last),
        "linear": lambda: s.LinearLR(o, 0.5, total_iters=25, last_epoch=last),
        "exponential": lambda: s.ExponentialLR(o, 0.9, last_epoch=last),
        "cosine": lambda: s.CosineAnnealingLR(o, 40, last_epoch=last),
        "lambda": lambda: s.LambdaLR(o, lambda t: 0.9**t, last_epoch=last),
        "polynomial": lambda: s.PolynomialLR(o, 40, last_epoch=last),
        "warm restarts": lambda: s.CosineAnnealingWarmRestarts(o, 30, last_epoch=last),
        "multiplicative": lambda: s.MultiplicativeLR(o, lambda t: 0.9, last_epoch=last),
    }
    return makers[name]()


@pytest.mark.parametrize("name", ["step", "cosine back and forth", "linear", "exponential"])
def test_a_change_by_hand_is_kept_as_in_pytorch(name: str) -> None:
    ours, theirs = optimizers(momentum=0.9)
    mine, other = (SCHEDULERS[name](library_of(o), o) for o in (ours, theirs))
    for step in range(25):
        for o, s in ((ours, mine), (theirs, other)):
            if step == 6:
                o.param_groups[0]["lr"] *= 0.37
            quiet_step(o, s)
        assert rates(ours) == pytest.approx(rates(theirs), rel=1e-9)


@pytest.mark.parametrize(
    "name", ["step", "exponential", "cosine", "multi step", "linear", "polynomial", "constant"]
)
def test_step_to_an_epoch_uses_the_closed_form(name: str) -> None:
    ours, theirs = optimizers(momentum=0.9)
    mine, other = (SCHEDULERS[name](library_of(o), o) for o in (ours, theirs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for epoch in (5, 30, 2):
            quiet_step(ours, mine, epoch)
            quiet_step(theirs, other, epoch)
            assert rates(ours) == pytest.approx(rates(theirs), rel=1e-12)
    ours.step()
    with pytest.warns(UserWarning, match="epoch"):
        mine.step(3)


def test_warm_restarts_take_fractions_of_epochs() -> None:
    ours, theirs = optimizers()
    mine, other = (
        library_of(o).CosineAnnealingWarmRestarts(o, 3, T_mult=2) for o in (ours, theirs)
    )
    for epoch in (0.25, 2.5, 3.0, 5.75, 8.9, 10.5, 22.0):
        mine.step(epoch)
        other.step(epoch)
        assert rates(ours) == pytest.approx(rates(theirs), rel=1e-9)
        assert mine.last_epoch == other.last_epoch


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("cooldown", [0, 3])
def test_plateau_follows_pytorch(mode: str, threshold_mode: str, cooldown: int) -> None:
    ours, theirs = optimizers()
    options = {
        "mode": mode, "factor": 0.5, "patience": 2, "threshold": 0.05,
        "threshold_mode": threshold_mode, "cooldown": cooldown, "min_lr": [0.01, 0.001],
    }  # fmt: skip
    mine, other = (library_of(o).ReduceLROnPlateau(o, **options) for o in (ours, theirs))
    for step in range(60):
        metric = math.sin(step * 0.7) + step * 0.01
        mine.step(fovea.tensor(metric) if step % 2 else metric)
        other.step(metric)
        assert rates(ours) == pytest.approx(rates(theirs), rel=1e-6)
        assert mine.num_bad_epochs == other.num_bad_epochs
    resumed = lr_scheduler.ReduceLROnPlateau(ours, mode=mode)
    resumed.load_state_dict(mine.state_dict())
    assert resumed.best == mine.best and resumed.patience == 2


def test_plateau_knows_of_added_groups() -> None:
    (ours, _) = optimizers()
    listed = lr_scheduler.ReduceLROnPlateau(ours, min_lr=[0.1, 0.1], patience=0)
    single = lr_scheduler.ReduceLROnPlateau(ours, min_lr=0.2, patience=0)
    ours.add_param_group({"params": [fovea.zeros(1, requires_grad=True)], "lr": 1.0})
    single.step(1.0)
    single.step(1.0)
    assert rates(ours) == [0.2, 0.05, 0.2]
    listed.step(1.0)
    with pytest.raises(ArgumentError, match="groups"):
        listed.step(1.0)


def test_tensor_rates_are_changed_in_place() -> None:
    lr = fovea.tensor(1.0, dtype=fovea.float64)
    sgd = optim.SGD([fovea.ones(2, requires_grad=True)], lr=lr)
    scheduler = lr_scheduler.ExponentialLR(sgd, 0.5)
    quiet_step(sgd, scheduler)
    assert sgd.param_groups[0]["lr"] is lr
    assert float(lr) == 0.5
    assert float(scheduler.get_last_lr()[0]) == 0.5
    assert scheduler.get_last_lr()[0] is not lr


def test_warns_about_the_wrong_order() -> None:
    (sgd, _) = optimizers()
    scheduler = lr_scheduler.StepLR(sgd, 3)
    with pytest.warns(UserWarning, match=r"before optimizer\.step"):
        scheduler.step()
    (sgd, _) = optimizers()
    scheduler = lr_scheduler.StepLR(sgd, 3)
    sgd.step = lambda: None
    with pytest.warns(UserWarning, match="replaced"):
        scheduler.step()
    (sgd, _) = optimizers()
    scheduler = lr_scheduler.StepLR(sgd, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet_step(sgd, scheduler)
    with pytest.warns(UserWarning, match="get_last_lr"):
        scheduler.get_lr()


def test_schedules_are_plain_functions() -> None:
    assert schedules.cosine(25, 1.0, 50) == pytest.approx(0.5)
    assert schedules.warm_restarts(12, 1.0, 4, 2) == 1.0
    assert schedules.OneCycle(10).at(9) == ("max", "min", 1.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda s, o: s.ConstantLR(o, factor=1.5),
        lambda s, o: s.LinearLR(o, start_factor=0.0),
        lambda s, o: s.LinearLR(o, end_factor=1.5),
        lambda s, o: s.CosineAnnealingWarmRestarts(o, 0),
        lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, T_mult=0),
        lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, eta_min="0"),
        lambda s, o: s.OneCycleLR(o, 1.0),
        lambda s, o: s.OneCycleLR(o, 1.0, total_steps=0),
        lambda s, o: s.OneCycleLR(o, 1.0, epochs=2, steps_per_epoch=-1),
        lambda s, o: s.OneCycleLR(o, 1.0, total_steps=9, pct_start=1.5),
        lambda s, o: s.OneCycleLR(o, 1.0, total_steps=9, anneal_strategy="spline"),
        lambda s, o: s.OneCycleLR(o, [1.0], total_steps=9),
        lambda s, o: s.CyclicLR(o, 0.1, 0.2, mode="square"),
        lambda s, o: s.ReduceLROnPlateau(o, factor=1.0),
        lambda s, o: s.ReduceLROnPlateau(o, mode="mean"),
        lambda s, o: s.ReduceLROnPlateau(o, threshold_mode="both"),
        lambda s, o: s.ReduceLROnPlateau(o, min_lr=[0.1]),
        lambda s, o: s.LambdaLR(o, [lambda t: 1.0]),
        lambda s, o: s.SequentialLR(o, [], []),
        lambda s, o: s.SequentialLR(o, [s.StepLR(o, 1)], [3]),
        lambda s, o: s.SequentialLR(o, [s.ReduceLROnPlateau(o)], []),
        lambda s, o: s.ChainedScheduler([]),
    ],
)
def test_bad_options_raise_as_in_pytorch(make: Make) -> None:
    ours, theirs = optimizers(momentum=0.9)
    with pytest.raises(ArgumentError):
        make(lr_scheduler, ours)
    with pytest.raises(ValueError):
        make(torch.optim.lr_scheduler, theirs)


def test_other_errors() -> None:
    (sgd, _) = optimizers(momentum=0.9)
    with pytest.raises(TypeError, match="needs an Optimizer"):
        lr_scheduler.StepLR("sgd", 3)
    with pytest.raises(KeyError, match="initial_lr"):
        lr_scheduler.StepLR(sgd, 3, last_epoch=4)
    with pytest.raises(TypeError, match="function"):
        lr_scheduler.MultiplicativeLR(sgd, 0.5)
    plain = optim.Adagrad([fovea.zeros(1, requires_grad=True)])
    with pytest.raises(ArgumentError, match="momentum"):
        lr_scheduler.CyclicLR(plain, 0.1, 0.2)
    scheduler = lr_scheduler.OneCycleLR(sgd, 1.0, total_steps=3)
    for _ in range(3):
        quiet_step(sgd, scheduler)
    sgd.step()
    with pytest.raises(ArgumentError, match="step 4 of 3"):
        scheduler.step()
    (other, _) = optimizers()
    with pytest.raises(ArgumentError, match="another optimizer"):
        lr_scheduler.SequentialLR(sgd, [lr_scheduler.StepLR(other, 1)], [])


class _Halving:
    """A callable object: its state is saved, a function's is not."""

    def __init__(self) -> None:
        self.speed = 1

    def __call__(self, step: int) -> float:
        return float(0.5 ** (step * self.speed))


def test_callable_objects_are_saved() -> None:
    (sgd, _) = optimizers()
    scheduler = lr_scheduler.LambdaLR(sgd, [_Halving(), lambda t: 1.0])
    scheduler.lr_lambdas[0].speed = 2
    state = scheduler.state_dict()
    assert state["lr_lambdas"] == [{"speed": 2}, None]
    other = lr_scheduler.LambdaLR(sgd, [_Halving(), lambda t: 1.0])
    other.load_state_dict(state)
    assert other.lr_lambdas[0].speed == 2
    assert state["lr_lambdas"] == [{"speed": 2}, None]
