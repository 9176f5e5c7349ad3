"""The finer options of ``fovea train``: how learning goes, what is logged, and runs for trial."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fovea.cli.console import UsageError, at_least, positive_number

if TYPE_CHECKING:
    from pathlib import Path

    from fovea.training import Callback

__all__ = [
    "LOGS",
    "SCHEDULES",
    "add_tuning_options",
    "loggers",
    "logging_options",
    "named_options",
    "refuse_of_scenes",
    "refuse_others",
    "trial_asked_for",
    "tuning_options",
]

SCHEDULES = ("one-cycle", "cosine", "step", "constant")
LOGS = ("csv", "json", "tensorboard", "mlflow", "wandb")
# Options of learning, by their names in the parser.
_TUNING = (
    "schedule", "warmup", "weight_decay", "layer_decay", "label_smoothing", "class_weights",
    "accumulate", "clip", "ema", "swa", "patience",
)  # fmt: skip
_LOGGING = ("keep", "log", "locate_nan")
_TRIALS = ("plan_memory", "fast_dev_run", "overfit_batches", "folds")
# Those of classification that detectors and segmenters take, too, and segmenters alone.
_EVERYWHERE = (
    "schedule", "warmup", "weight_decay", "layer_decay", "accumulate", "clip", "ema", "patience",
    "keep", "log", "locate_nan",
)  # fmt: skip
_OF_PIXELS = ("label_smoothing", "class_weights", "swa")


def between(low: float, high: float) -> Callable[[str], float]:
    """A checker of numbers from ``low`` to below ``high`` for argparse."""

    def check(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not low <= value < high:
            raise argparse.ArgumentTypeError(f"must be from {low:g} to below {high:g}, got {text}")
        return value

    return check


def _log_names(text: str) -> str:
    """A checker of ``csv,tensorboard`` for argparse."""
    unknown = [n for n in text.split(",") if n not in LOGS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(LOGS)}")
    return text


def _kept(text: str) -> int | str:
    """A checker of ``--keep`` for argparse."""
    return text if text in ("best", "last") else at_least(1)(text)


def add_tuning_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to the parser."""
    tuning = parser.add_argument_group("tuning")
    tuning.add_argument(
        "--schedule",
        choices=SCHEDULES,
        help="how the learning rate goes from step to step (default: one-cycle)",
    )
    tuning.add_argument(
        "--warmup", type=between(0, 1), metavar="X", help="the share of steps in which it rises"
    )
    tuning.add_argument(
        "--weight-decay", type=between(0, 1), metavar="X", help="of all but biases and norms"
    )
    tuning.add_argument(
        "--layer-decay",
        type=between(0.01, 1),
        metavar="X",
        help="a lower rate for each layer further from the end, by this factor",
    )
    tuning.add_argument("--label-smoothing", type=between(0, 1), metavar="X")
    tuning.add_argument(
        "--class-weights", choices=("balanced",), help="let rare classes count as much as others"
    )
    tuning.add_argument(
        "--accumulate", type=at_least(1), metavar="N", help="batches whose gradients make a step"
    )
    tuning.add_argument(
        "--clip", type=positive_number, metavar="X", help="the largest norm of all gradients"
    )
    tuning.add_argument(
        "--ema", type=between(0, 1), metavar="X", help="keep a moving average of weights: its decay"
    )
    tuning.add_argument(
        "--swa", type=at_least(1), metavar="N", help="keep the mean of the last N epochs' weights"
    )
    tuning.add_argument(
        "--patience", type=at_least(1), metavar="N", help="stop after N epochs without progress"
    )
    logs = parser.add_argument_group("logs")
    logs.add_argument(
        "--keep",
        type=_kept,
        metavar="WHAT",
        help="checkpoints: the best epoch (as usual), the last, or N: N best ones and the last",
    )
    logs.add_argument(
        "--validate-every",
        type=at_least(0),
        metavar="N",
        help="measure a detector or segmenter after so many epochs; 0: never",
    )
    logs.add_argument("--log", type=_log_names, metavar="NAMES", help=f"some of {','.join(LOGS)}")
    logs.add_argument(
        "--locate-nan", action="store_true", help="say which op, layer and image made a first NaN"
    )
    trials = parser.add_argument_group("trials")
    trials.add_argument(
        "--plan-memory", action="store_true", help="say what memory a step takes, and stop"
    )
    trials.add_argument(
        "--fast-dev-run", action="store_true", help="go through one batch of each part, and stop"
    )
    trials.add_argument(
        "--overfit-batches",
        type=at_least(1),
        metavar="N",
        help="learn N batches by heart",
    )
    trials.add_argument(
        "--folds", type=at_least(2), metavar="K", help="cross-validate instead of keeping a model"
    )


def trial_asked_for(args: argparse.Namespace) -> bool:
    """Whether nothing is to be kept."""
    return any(getattr(args, name) for name in _TRIALS)


def tuning_options(args: argparse.Namespace) -> dict[str, Any]:
    """What was asked for of learning, by the names of `fovea.cli.fitting.Plan`."""
    found = {name: getattr(args, name) for name in _TUNING}
    if found["ema"] is not None and found["swa"] is not None:
        raise UsageError("give one of --ema and --swa")
    return {name: value for name, value in found.items() if value is not None}


def named_options(args: argparse.Namespace) -> dict[str, Any]:
    """The same, with logs, by the names of options: what ``config.yaml`` keeps."""
    return {name.replace("_", "-"): _given(args, name) for name in (*_TUNING, *_LOGGING)}


def _given(args: argparse.Namespace, name: str) -> Any:
    """An option's value, which may be 0; None if it was not given."""
    value = getattr(args, name)
    return None if value is False else value


def refuse_others(args: argparse.Namespace, task: str, more: tuple[str, ...] = ()) -> None:
    """Refuse options that a task, detection or segmentation, does not have.

    Args:
        more: other options that the task has not.

    Raises:
        UsageError: one was given.
    """
    own = (*_EVERYWHERE, *_OF_PIXELS) if task == "segmentation" else _EVERYWHERE
    others = [n for n in (*_TUNING, *_LOGGING, "folds") if n not in own]
    found = [n for n in others if _given(args, n) is not None]
    found += [n for n in more if getattr(args, n)]
    if found:
        raise UsageError(f"--{found[0].replace('_', '-')} is not there for {task}")


def refuse_of_scenes(args: argparse.Namespace) -> None:
    """Refuse options that only detectors and segmenters have.

    Raises:
        UsageError: one was given.
    """
    if args.validate_every is not None:
        raise UsageError(
            "--validate-every is not there for classification: each epoch is validated"
        )
    if args.optimizer == "muon":
        raise UsageError("--optimizer muon is not there for classification")
    if isinstance(args.freeze, str):
        raise UsageError("--freeze takes a number of epochs for classification")


def loggers(names: str | None, folder: Path, config: dict[str, Any], go_on: bool) -> list[Callback]:
    """Callbacks that log a run.

    Args:
        names: what to log to, with commas.
        folder: the run's.
        config: the run's options.
        go_on: whether the run is one that was stopped.

    Raises:
        MissingExtraError: what a name needs is not installed.
    """
    from fovea.training import CSVLogger, JSONLogger, MLflowLogger, TensorBoard, WandbLogger

    makers: dict[str, Callable[[], Callback]] = {
        "csv": lambda: CSVLogger(folder / "log.csv", append=go_on),
        "json": lambda: JSONLogger(folder / "log.jsonl", append=go_on, config=config),
        "tensorboard": lambda: TensorBoard(folder / "tensorboard", write_graph=False),
        "mlflow": lambda: MLflowLogger(run_name=folder.name, config=config),
        "wandb": lambda: WandbLogger(name=folder.name, config=config),
    }
    return [makers[name]() for name in (names or "").split(",") if name]


def logging_options(
    args: argparse.Namespace, folder: Path, config: dict[str, Any], go_on: bool
) -> list[Callback]:
    """Callbacks that log a run, and look for a NaN, as options say."""
    found = loggers(args.log, folder, {k: v for k, v in config.items() if v is not None}, go_on)
    if args.locate_nan:
        from fovea.training import LocateNaN

        found.append(LocateNaN(folder / "nan.pt"))
    return found
