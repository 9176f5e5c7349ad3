"""``fovea train``: from images to a checkpoint, its curves and its confusion matrix."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovea.cli.config import add_config_option, write_config
from fovea.cli.console import Console, UsageError, add_output_options, at_least, positive_number
from fovea.cli.recipes import (
    DATASETS,
    LEARNING_RATES,
    OPTIMIZERS,
    PRECISIONS,
    RECIPES,
    Recipe,
    fitted,
)
from fovea.cli.tuning import (
    add_tuning_options,
    logging_options,
    named_options,
    refuse_of_scenes,
    trial_asked_for,
    tuning_options,
)

TASKS = ("classification", "detection", "segmentation")

if TYPE_CHECKING:
    from fovea.cli.classifier import Classifier
    from fovea.cli.fitting import Measured, Plan
    from fovea.cli.sources import Source
    from fovea.training import Callback

__all__ = ["add_parser"]

_DESCRIPTION = """\
Train a network and write it, its curves and pictures of what it does to a folder.

Without DATA it learns the handwritten digits that come with fovea. DATA is a folder with a folder
of images for each class, or with parts of that kind named train, val and test; for a detector a
folder in Pascal VOC's, COCO's or YOLO's layout; for classes of pixels one with images and masks,
or in Cityscapes' or Pascal VOC's layout (--task segmentation, where that has boxes, too).
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "train",
        help="train a classifier, a detector or a segmenter",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    data = parser.add_argument_group("data")
    data.add_argument("data", nargs="?", metavar="DATA", help="a folder of images")
    data.add_argument("--dataset", choices=(*DATASETS, "shapes"), help="a dataset by its name")
    data.add_argument(
        "--task", choices=TASKS, help="what to learn (default: what the folder is laid out for)"
    )
    data.add_argument(
        "--root", default="data", help="where the dataset's files are (default: %(default)s)"
    )
    data.add_argument("--download", action="store_true", help="fetch the dataset if it is missing")
    data.add_argument(
        "--image-size", type=at_least(4), metavar="N", help="pixels a side that the network sees"
    )
    data.add_argument(
        "--skip-bad",
        action="store_true",
        help="leave out, count and list what cannot be read in DATA",
    )
    data.add_argument(
        "--workers", type=at_least(0), metavar="N", help="threads that prepare images"
    )
    training = parser.add_argument_group("training")
    training.add_argument("--model", metavar="NAME", help="the network, such as resnet18")
    training.add_argument(
        "--weights",
        metavar="WEIGHTS",
        help="start from these: DEFAULT or another name of published ones, a file, an address",
    )
    training.add_argument(
        "--freeze",
        type=_freeze,
        default=0,
        metavar="WHAT",
        help="epochs at the start in which only the last layer is trained; of detectors and"
        " segmenters parts that are not trained at all: backbone, of Glance network.backbone",
    )
    training.add_argument("--epochs", type=at_least(1), metavar="N", help="passes over the images")
    training.add_argument("--batch-size", type=at_least(1), metavar="N", help="images a step")
    training.add_argument(
        "--lr", type=_rate, metavar="X", help="the highest learning rate; auto: find one"
    )
    training.add_argument("--optimizer", choices=(*OPTIMIZERS, "muon"))
    training.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=PRECISIONS[0],
        help="of products in training; weights stay float32 (default: %(default)s)",
    )
    training.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="of all that is random"
    )
    add_tuning_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output", metavar="DIR", help="the folder to write to (default: runs/...)"
    )
    add_config_option(output)
    output.add_argument(
        "--resume",
        metavar="DIR",
        help="go on with the run that was stopped in this folder, as if it had not been",
    )
    add_output_options(parser)
    parser.set_defaults(run=run, parser=parser)


def _rate(text: str) -> float | str:
    return "auto" if text == "auto" else positive_number(text)


def _freeze(text: str) -> int | str:
    """A number of epochs, or names of parts."""
    return at_least(0)(text) if text.strip("+-").isdecimal() else text


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    if args.data is not None and args.dataset is not None:
        raise UsageError("give either a folder or --dataset, not both")
    if args.resume is not None:
        _check_resumed(args)
    task, parts = _task(args)
    if task != "classification":
        from fovea.cli.keeping import begin_or_go_on
        from fovea.cli.train_scenes import check_options, train_scenes, try_it

        check_options(args, task)
        if trial_asked_for(args):
            return try_it(args, task, parts)
        folder = _output_folder(args.output, "shapes", args.data)
        with _removed_if_empty(folder, args.output is None):
            state = begin_or_go_on(folder, args.resume is not None)
            return train_scenes(args, task, folder, state, parts)
    refuse_of_scenes(args)
    from fovea.cli.keeping import begin_or_go_on

    name = "folder" if args.data is not None else args.dataset or "digits"
    recipe = RECIPES[name]
    console = Console(args.json, args.quiet)
    import fovea
    from fovea.cli.classifier import Classifier, build_model

    fovea.manual_seed(args.seed)
    source = _source(args, recipe, name)
    plan = _plan(args, fitted(recipe, len(source.train)) if name == "folder" else recipe, name)
    if args.class_weights:
        plan = _weighted(plan, source)
    model_name = (args.model or recipe.model).lower()
    model, options = build_model(model_name, len(source.classes), source.preprocess, args.weights)
    classifier = Classifier(
        model, model_name, options, source.classes, source.preprocess, source.origin
    )
    if args.lr == "auto":
        from fovea.cli.fitting import Fitting
        from fovea.cli.trials import found_rate

        trial = Fitting(model, source.train, source.validation, plan)
        plan = replace(plan, lr=found_rate(console, trial))
    if trial_asked_for(args):
        from fovea.cli.trials import run_trial

        _introduce(console, classifier, source, plan)
        return run_trial(console, args, classifier, source, plan)
    folder = _output_folder(args.output, name, args.data)
    _introduce(console, classifier, source, plan)
    with _removed_if_empty(folder, args.output is None):
        options = _resolved(args, name, model_name, source, plan)
        write_config(folder, options)
        state = begin_or_go_on(folder, args.resume is not None)
        logs = logging_options(args, folder, options, state.exists())
        return _train(console, classifier, source, plan, folder, state, args.keep, logs)


def _check_resumed(args: argparse.Namespace) -> None:
    """The folder of a stopped run becomes that of this one."""
    if args.output is not None or args.config is not None:
        raise UsageError("--resume names the run's folder and options: no --output, no --config")
    from fovea.cli.keeping import state_path
    from fovea.cli.report import RESULTS

    folder = Path(args.resume)
    if (folder / RESULTS).exists() and not state_path(folder).exists():
        raise UsageError(f"the run in {folder} has ended: there is nothing left to do")
    args.output = args.resume


@contextlib.contextmanager
def _removed_if_empty(folder: Path, wanted: bool) -> Iterator[None]:
    """A folder of its own, to be gone after an error if nothing was written to it."""
    try:
        yield
    except BaseException:
        if wanted:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _task(args: argparse.Namespace) -> tuple[str, dict[str, Any] | None]:
    """What to learn, which is what is asked for or what the folder is laid out for; and the
    folder's parts.
    """
    if args.task == "classification":
        return "classification", None
    if args.data is not None:
        from fovea.cli.scenes import task_of_parts
        from fovea.vision.checking.layouts import UnknownLayoutError, open_parts

        parts: dict[str, Any] | None = None
        try:
            parts = open_parts(args.data, task=args.task)
            found = task_of_parts(parts)
        except UnknownLayoutError:
            found = "classification"  # which says better what is missing
        if args.task not in (None, found):
            raise UsageError(f"{args.data} is laid out for {found}, not for {args.task}")
        return found, parts
    if args.dataset == "shapes":
        return args.task or "detection", None
    if args.task is not None:
        raise UsageError(f"--task {args.task} needs a folder, or --dataset shapes")
    return "classification", None


def _plan(args: argparse.Namespace, recipe: Recipe, name: str) -> Plan:
    from fovea.cli.fitting import Plan

    given: dict[str, Any] = {
        "weight_decay": recipe.weight_decay,
        "label_smoothing": recipe.label_smoothing,
    }
    optimizer = args.optimizer or recipe.optimizer
    if optimizer in ("adam", "rmsprop"):
        given["weight_decay"] = 0.0  # which is not theirs unless it is asked for
    given |= {k: v for k, v in tuning_options(args).items() if k != "class_weights"}
    usual = recipe.lr if optimizer == recipe.optimizer else LEARNING_RATES[optimizer]
    workers = args.workers
    if workers is None:
        workers = min(4, os.cpu_count() or 1) if name == "folder" else 1
    return Plan(
        epochs=args.epochs or recipe.epochs,
        batch_size=args.batch_size or recipe.batch_size,
        optimizer=optimizer,
        lr=usual if args.lr in (None, "auto") else args.lr,
        workers=workers,
        precision=args.precision,
        frozen=args.freeze,
        **given,
    )


def _weighted(plan: Plan, source: Source) -> Plan:
    """The plan, with weights by which each class counts alike."""
    from fovea.cli.trials import labels_of
    from fovea.training import balanced_class_weights

    weights = balanced_class_weights(labels_of(source.train), len(source.classes))
    return replace(plan, class_weights=tuple(weights.tolist()))


def _source(args: argparse.Namespace, recipe: Recipe, name: str) -> Source:
    size = args.image_size or recipe.image_size
    if name == "folder":
        from fovea.cli.folders import folder_source

        return folder_source(
            args.data,
            size=size or 96,
            share=recipe.validation,
            flip=recipe.augment.flip,
            seed=args.seed,
            skip_bad=args.skip_bad,
        )
    from fovea.cli.sources import named_source

    return named_source(
        name,
        args.root,
        size=size,
        share=recipe.validation,
        augment=recipe.augment,
        seed=args.seed,
        download=args.download,
    )


def _output_folder(chosen: str | None, name: str, data: str | None) -> Path:
    """The folder to write to, made; without ``--output`` one that is not there yet."""
    if chosen is not None:
        folder = Path(chosen)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    label = os.path.basename(os.path.abspath(data)) if data is not None else name
    number = 1
    while True:
        folder = Path("runs", label if number == 1 else f"{label}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def _resolved(
    args: argparse.Namespace, name: str, model: str, source: Source, plan: Plan
) -> dict[str, Any]:
    """The options of a run in full."""
    own = args.data is not None
    return {
        "data": os.path.abspath(args.data) if own else None,
        "dataset": None if own else name,
        "root": None if own or name == "digits" else os.path.abspath(args.root),
        "task": "classification",
        "model": model,
        "weights": args.weights,
        "freeze": args.freeze,
        "epochs": plan.epochs,
        "batch-size": plan.batch_size,
        "optimizer": plan.optimizer,
        "lr": plan.lr,
        "precision": plan.precision,
        "image-size": source.preprocess.height if own or args.image_size else None,
        "workers": plan.workers,
        "skip-bad": args.skip_bad or None,
        "seed": args.seed,
        **named_options(args),
    }


def _introduce(console: Console, classifier: Classifier, source: Source, plan: Plan) -> None:
    size = classifier.preprocess
    parameters = sum(p.numel() for p in classifier.model.parameters())
    parts = [f"{len(source.train):,} to train on"]
    if source.validation is not None:
        parts.append(f"{len(source.validation):,} to validate with")
    if source.test is not None:
        parts.append(f"{len(source.test):,} to test with")
    console.say(f"{source.title}: {len(source.classes)} classes; images: {', '.join(parts)}")
    for note in source.notes:
        console.say(f"  {note}")
    console.say(
        f"{classifier.name}: {parameters:,} parameters, input {size.channels} × {size.height} ×"
        f" {size.width}; {plan.optimizer}, learning rate up to {plan.lr:g}, batches of"
        f" {plan.batch_size}{'' if plan.precision == 'float32' else f', {plan.precision}'}\n"
    )


def _train(
    console: Console,
    classifier: Classifier,
    source: Source,
    plan: Plan,
    folder: Path,
    state: Path,
    keep: int | str | None,
    logs: list[Callback],
) -> int:
    from fovea.cli.fitting import Fitting, measure
    from fovea.cli.keeping import KeepBest, said_if_interrupted
    from fovea.cli.progress import EpochTable
    from fovea.cli.results import report_training

    began = time.monotonic()
    fitting = Fitting(classifier.model, source.train, source.validation, plan)
    keeper = KeepBest(classifier, folder / "model.pt", plan, keep)
    steps = len(fitting.batches)
    table = EpochTable(console, plan.epochs, steps, source.validation is not None)
    with said_if_interrupted(keeper.said_on_interrupt):
        history = fitting.run([keeper, table, *logs], state).history
        keeper.restore()
        part, dataset = ("test", source.test)
        if dataset is None:
            part, dataset = ("validation", source.validation)
        result: Measured | None = None
        if dataset is not None:
            result = measure(classifier.model, dataset, len(source.classes), plan.workers)
        report_training(
            console, classifier, source.title, history, keeper, part, result,
            time.monotonic() - began, dataset,
        )  # fmt: skip
    state.unlink(missing_ok=True)
    return 0
