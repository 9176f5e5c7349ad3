"""``python -m bench``: race fovea against the peers that are installed, in one run.

Prints markdown tables. Times are medians of interleaved rounds; a ratio above 1 means that fovea is
faster. Networks start from the same weights, drawn with NumPy, and get the same images; what they
compute is compared before they are timed. Everything takes hours: name races, networks and
contestants to run a part, such as

    python -m bench steps --net resnet18 --batch 64 --peer fovea PyTorch --threads 1 2
    python -m bench steps --net resnet18 --batch 1 4 16 64 --size 32 64    # how times grow
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from bench.cases import Case, chosen
from bench.coco import time_coco
from bench.copies import time_copies
from bench.detectors import time_detectors
from bench.loader import LOADERS, Folder, time_loaders
from bench.machine import describe, peaks
from bench.nets import NETS
from bench.networks import race_cases, race_starts
from bench.parity import compare
from bench.peers import PEERS, Peer, installed
from bench.programs import EXAMPLE_PEERS, race_examples, race_programs
from bench.race import Result, Timing, compete
from bench.shapes import CONVOLUTIONS
from bench.small_ops import time_small_ops
from bench.tables import Report
from bench.transforms import time_transforms
from bench.worker import CLOCKS
from bench.zoo import time_zoo
from bench.zoo_detection import time_detection
from bench.zoo_keras import time_applications

Options = argparse.Namespace


def _present(options: Options, *names: str) -> list[Peer]:
    """The peers that are installed, asked for, and of these names if any are given."""
    return [
        replace(peer, patience=options.patience)
        for peer in PEERS
        if installed(peer.module)
        and (not names or peer.name in names)
        and (not options.peer or peer.name in options.peer)
        and peer.name not in options.skip
    ]


def _networks(options: Options) -> list[Peer]:
    return [peer for peer in _present(options) if peer.name != "fovea.keras"]


def _timing(options: Options) -> Timing:
    return Timing(options.rounds, options.budget, options.clock)


def _cases(mode: str, options: Options, nets: Sequence[str] = ()) -> list[Case]:
    asked = (options.net or nets, options.batch, options.size, options.dtype, options.threads)
    return list(chosen(mode, *asked))


def peak(report: Report, options: Options) -> None:
    """The machine's peaks."""
    peaks(report, tuple(options.threads))


def programs(report: Report, options: Options) -> None:
    """The two example programs as whole processes."""
    head = ("program", "contestant", "seconds", "times fovea warm")
    report.start("programs", "The two example programs, whole process (seconds)", head)
    found = race_programs(options.rounds)
    warm = {style: s for style, name, s in found if name == "fovea, warm cache"}
    for style, name, seconds in found:
        record = {"program": style, "contestant": name, "seconds": seconds}
        cells = (style, name, f"{seconds:.2f}", f"{seconds / warm[style]:.2f}")
        report.row("programs", record, cells)


def examples(report: Report, options: Options) -> None:
    """The programs of ``examples/programs``."""
    modules = {"keras": "tensorflow"}
    peers = [
        replace(peer.on(options.threads[0]), patience=options.patience)
        for peer in EXAMPLE_PEERS
        if installed(modules.get(peer.module, peer.module))
        and (not options.peer or peer.name in options.peer)
        and peer.name not in options.skip
    ]
    race_examples(report, peers, _timing(options), options.program)


def startup(report: Report, options: Options) -> None:
    """The time to the first step."""
    cases = _cases("train", options, nets=("small_cnn", "resnet18"))
    largest = {(case.net, case.threads): case for case in cases}
    race_starts(report, largest.values(), _networks(options), _timing(options))


def steps(report: Report, options: Options) -> None:
    """Training steps of networks."""
    _race_networks("train", report, options)


def inference(report: Report, options: Options) -> None:
    """Calls of networks in evaluation mode."""
    _race_networks("infer", report, options)


def _race_networks(mode: str, report: Report, options: Options) -> None:
    ceiling = peaks(report, tuple(options.threads))
    race_cases(report, mode, _cases(mode, options), _networks(options), _timing(options), ceiling)


def fit(report: Report, options: Options) -> None:
    """Keras's ``fit`` on the small CNN."""
    from bench.workloads.keras_style import FIT_STEPS

    head = ("batch", "contestant", "ms a step", "times fovea.keras")
    report.start("fit", "`fit` of Keras's style on the small CNN (milliseconds a step)", head)
    peers = [p.on(options.threads[0]) for p in _present(options, "fovea.keras", "Keras/TensorFlow")]
    for batch, count in FIT_STEPS.items():
        results = compete(peers, {"kind": "fit", "batch": batch}, _timing(options))
        ours = _seconds(results, "fovea.keras")
        for result in results:
            if result.seconds is None:
                report.say(f"{result.contestant}: {result.note}")
                continue
            other = ours is not None and result.contestant != "fovea.keras"
            ratio = f"{result.seconds / ours:.2f}" if other and ours else ""
            record = {"batch": batch, "contestant": result.contestant, "ms": result.seconds / count}
            cells = (str(batch), result.contestant, f"{result.seconds / count * 1e3:.2f}", ratio)
            report.row("fit", record, cells)
    for peer in peers:
        peer.stop()


def _seconds(results: Sequence[Result], name: str) -> float | None:
    return next((r.seconds for r in results if r.contestant == name), None)


def conv(report: Report, options: Options) -> None:
    """Convolutions on ResNet's shapes."""
    head = ("shape", "forward: fovea / PyTorch", "gradient to data", "gradient to weights")
    title = "Convolutions on ResNet's shapes, float32, channels-last (GFLOP/s)"
    report.start("conv", title, head)
    peers = [p.on(options.threads[0]) for p in _present(options, "fovea", "PyTorch")]
    ratios: dict[str, list[float]] = {}
    for n, size, cin, cout, k, stride in CONVOLUTIONS:
        shape = {"n": n, "size": size, "cin": cin, "cout": cout, "k": k, "stride": stride}
        flops = 2 * n * math.ceil(size / stride) ** 2 * cin * cout * k * k
        cells, record = [f"{n}×{size}² {cin}→{cout} {k}×{k}/{stride}"], dict[str, Any](shape)
        for direction in ("forward", "data", "weight"):
            request = {"kind": "conv", "direction": direction, **shape}
            results = compete(peers, request, _timing(options))
            rates = {r.contestant: flops / r.seconds / 1e9 for r in results if r.seconds}
            record[direction] = rates
            cells.append(_rates(rates))
            if len(rates) == 2:
                ratios.setdefault(direction, []).append(rates["fovea"] / rates["PyTorch"])
        report.row("conv", record, cells)
    for peer in peers:
        peer.stop()
    if ratios:
        ratios["all"] = [ratio for several in list(ratios.values()) for ratio in several]
        means = ", ".join(f"{d} {statistics.geometric_mean(r):.2f}" for d, r in ratios.items())
        report.say(f"Geometric mean of fovea's rate over PyTorch's: {means}.")


def small_ops(report: Report, options: Options) -> None:
    """What calling an op costs, eagerly."""
    if installed("torch"):
        time_small_ops(report)


def coco(report: Report, options: Options) -> None:
    """COCO's evaluation beside pycocotools'."""
    time_coco(report)


def copies(report: Report, options: Options) -> None:
    """Copies into another layout beside PyTorch's."""
    if installed("torch"):
        time_copies(report, options.threads)


def transforms(report: Report, options: Options) -> None:
    """Functions of functions: `vmap`, gradients of each sample, Jacobians."""
    if installed("torch"):
        time_transforms(report)


def zoo(report: Report, options: Options) -> None:
    """The other networks of the zoo beside PyTorch's, detectors too, and Keras's applications."""
    if installed("torch") and installed("torchvision"):
        engines = [peer for peer in _present(options) if peer.workload == "engine_style"]
        time_zoo(report, engines=engines if installed("onnxscript") else [])
        time_detection(report)
    if installed("torch") and installed("keras"):
        time_applications(report)


def loader(report: Report, options: Options) -> None:
    """Loaders from a folder of JPEGs to batches."""
    asked = {"batch": options.batch[:1], "crop": options.size[:1]}
    folder = Folder(place=options.folder, **{k: v[0] for k, v in asked.items() if v})
    peers = [
        replace(peer, patience=options.patience)
        for peer in LOADERS
        if (not options.peer or peer.name in options.peer) and peer.name not in options.skip
    ]
    time_loaders(report, _timing(options), options.threads[0], folder, peers)


def detectors(report: Report, options: Options) -> None:
    """Training steps of fovea's own detector beside PyTorch's."""
    if installed("torch") and installed("torchvision"):
        time_detectors(report)


def parity(report: Report, options: Options) -> None:
    """Eager and compiled training side by side: no race."""
    compare(report, options.net or list(NETS), options.steps)


def _rates(rates: dict[str, float]) -> str:
    """Such as "150 / 100 = 1.50"."""
    text = " / ".join(f"{rate:.0f}" for rate in rates.values())
    return f"{text} = {rates['fovea'] / rates['PyTorch']:.2f}" if len(rates) == 2 else text


RACES: dict[str, Callable[[Report, Options], None]] = {
    race.__name__: race
    for race in (
        peak,
        programs,
        examples,
        small_ops,
        coco,
        copies,
        transforms,
        startup,
        steps,
        inference,
        fit,
        conv,
        zoo,
        loader,
        detectors,
        parity,
    )
}


def _options() -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = list(dict.fromkeys(peer.name for peer in (*PEERS, *LOADERS)))
    add = parser.add_argument
    add("races", nargs="*", choices=[*RACES, []], help="default: all")
    add("--net", nargs="+", choices=list(NETS), default=[], help="networks (all)")
    add("--program", nargs="+", default=[], help="of examples/programs (all)")
    add("--batch", nargs="+", type=int, default=[], help="images (each network's own)")
    add("--size", nargs="+", type=int, default=[], help="pixels a side (each network's own)")
    add("--dtype", nargs="+", choices=["float32", "bfloat16"], default=[], help="(float32)")
    add("--threads", nargs="+", type=int, default=[1], help="for each contestant (1)")
    add("--peer", nargs="+", choices=names, default=[], metavar="NAME", help=", ".join(names))
    add("--skip", nargs="+", choices=names, default=[], metavar="NAME", help="all but these")
    add("--rounds", type=int, default=5, help="interleaved rounds a case (5)")
    add("--budget", type=float, default=0.5, help="seconds a case, contestant and round (0.5)")
    add(
        "--patience", type=float, default=600.0, help="seconds until a contestant is given up (600)"
    )
    add("--steps", type=int, default=100, help="training steps of parity (100)")
    add("--folder", default="", help="of photographs, a folder a class (loader: drawn ones)")
    add("--clock", choices=list(CLOCKS), default="wall", help="processor: where others disturb")
    add("--json", metavar="FILE", help="write the numbers there, too")
    return parser.parse_args()


def main() -> None:
    """Run the races that are asked for."""
    options, report = _options(), Report()
    report.content["machine"] = describe()
    print(report.content["machine"])
    for name in options.races or RACES:
        RACES[name](report, options)
        if options.json:
            report.write(options.json)


if __name__ == "__main__":
    main()
