"""Modules that PyTorch's programs import: devices that are not there, one process, TorchScript."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import pytest

import fovea
from fovea.errors import ArgumentError, DeviceError

torch = pytest.importorskip("torch")

IMPORTS = [
    ("backends.cudnn", "benchmark deterministic enabled allow_tf32 is_available version flags"),
    ("backends.cuda", "matmul enable_flash_sdp flash_sdp_enabled sdp_kernel"),
    ("backends.mps", "is_available is_built"),
    ("backends.mkldnn", "is_available"),
    ("cuda.amp", "autocast GradScaler custom_fwd custom_bwd"),
    ("utils.model_zoo", "load_url"),
    ("utils.hooks", "RemovableHandle"),
    ("multiprocessing", "Process Queue set_sharing_strategy set_start_method spawn cpu_count"),
    ("distributed", "is_available is_initialized init_process_group get_rank all_reduce ReduceOp"),
    ("nn.parallel", "DistributedDataParallel DataParallel"),
    ("jit", "script trace load save ignore unused export is_scripting Final annotate"),
    ("compiler", "disable is_compiling reset"),
    ("serialization", "add_safe_globals safe_globals"),
    ("version", "cuda hip __version__"),
    ("types", "Device Number"),
    ("autograd.profiler", "profile record_function"),
    ("mps", "is_available synchronize manual_seed"),
    ("xpu", "is_available device_count"),
    ("cpu", "is_available synchronize"),
]


@pytest.mark.parametrize(("module", "names"), IMPORTS)
def test_modules_and_names(module: str, names: str) -> None:
    ours, theirs = (importlib.import_module(f"{lib}.{module}") for lib in ("fovea", "torch"))
    for name in names.split():
        assert hasattr(ours, name) and hasattr(theirs, name), name
    place: Any = fovea
    for part in module.split("."):
        place = getattr(place, part)
    assert place is ours


def test_constants() -> None:
    for name in ("pi", "e", "inf", "newaxis"):
        assert getattr(fovea, name) == getattr(torch, name)
    assert fovea.nan != fovea.nan
    assert fovea.ones(3)[fovea.newaxis].shape == (1, 3)
    assert issubclass(fovea.OutOfMemoryError, RuntimeError)
    assert fovea.GradScaler is fovea.amp.GradScaler


def test_switches_have_regions() -> None:
    for lib in (fovea, torch):
        cudnn = importlib.import_module(f"{lib.__name__}.backends.cudnn")
        before = cudnn.benchmark
        with cudnn.flags(enabled=True, benchmark=not before):
            pass
        assert cudnn.benchmark == before
    with fovea.backends.cudnn.flags(benchmark=True):
        assert fovea.backends.cudnn.benchmark
    assert not fovea.backends.cudnn.benchmark
    fovea.backends.cuda.enable_flash_sdp(False)
    assert not fovea.backends.cuda.flash_sdp_enabled()
    with fovea.backends.cuda.sdp_kernel(enable_flash=True, enable_math=False):
        assert fovea.backends.cuda.flash_sdp_enabled()
        assert not fovea.backends.cuda.math_sdp_enabled()
    fovea.backends.cuda.enable_flash_sdp(True)
    assert fovea.backends.cuda.math_sdp_enabled()


@pytest.mark.filterwarnings("ignore")
def test_older_mixed_precision_is_switched_off() -> None:
    for lib in (fovea, torch):
        cuda_amp = importlib.import_module(f"{lib.__name__}.cuda.amp")
        weight = lib.ones(1, requires_grad=True)
        optimizer, scaler = lib.optim.SGD([weight], lr=0.5), cuda_amp.GradScaler(init_scale=8.0)
        with cuda_amp.autocast():
            y = lib.ones(2, 2) @ lib.ones(2, 2)
        with cuda_amp.autocast(False):
            loss = weight.sum() * y[0, 0]
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        assert y.dtype is lib.float32 and weight.item() == 0 and scaler.get_scale() == 1

        class Twice(lib.autograd.Function):  # type: ignore[misc]
            @staticmethod
            @cuda_amp.custom_fwd
            def forward(ctx: Any, x: Any) -> Any:
                return x * 2

            @staticmethod
            @cuda_amp.custom_bwd
            def backward(ctx: Any, g: Any) -> Any:
                return g * 2

        x = lib.ones(1, requires_grad=True)
        Twice.apply(x).backward()
        assert x.grad.item() == 2


def test_cuda_s_answers() -> None:
    cuda = fovea.cuda
    start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    with pytest.raises(ArgumentError, match="recorded"):
        start.elapsed_time(end)
    start.record()
    with cuda.stream(cuda.Stream()), cuda.device(0):
        end.record()
    end.synchronize()
    assert 0 <= start.elapsed_time(end) < 1000
    with pytest.raises(ArgumentError, match="enable_timing"):
        start.elapsed_time(cuda.Event())
    assert cuda.max_memory_reserved() == 0 == cuda.memory_reserved() and cuda.memory_stats() == {}
    assert cuda.get_rng_state_all() == [] == torch.cuda.get_rng_state_all()
    cuda.ipc_collect(), cuda.seed_all(), cuda.set_rng_state_all([])
    for name in ("get_device_name", "get_device_properties", "mem_get_info", "current_device"):
        with pytest.raises(DeviceError, match=name):
            getattr(cuda, name)()


# -- several processes, of which there is one -----------------------------------------------------


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    fovea.distributed.init_process_group("gloo", init_method="env://", world_size=1, rank=0)
    yield fovea.distributed
    fovea.distributed.destroy_process_group()


def test_a_group_of_one(group: Any) -> None:
    assert group.is_initialized() and group.get_backend() == "gloo"
    assert (group.get_rank(), group.get_world_size()) == (0, 1)
    x = fovea.tensor([1.0, 2.0])
    assert group.all_reduce(x, op=group.ReduceOp.SUM) is None
    assert group.all_reduce(x, async_op=True).wait()
    group.broadcast(x, src=0), group.reduce(x, 0), group.barrier()
    lists = [[fovea.zeros(2)], [fovea.zeros(2)]]
    group.all_gather(lists[0], x), group.gather(x, lists[1])
    into, flat = fovea.zeros(2), fovea.zeros(2)
    group.scatter(into, [x]), group.all_gather_into_tensor(flat, x)
    for got in (x, lists[0][0], lists[1][0], into, flat):
        assert got.tolist() == [1, 2]
    objects: list[Any] = [None]
    group.all_gather_object(objects, {"a": 1})
    assert objects == [{"a": 1}]
    with pytest.raises(ArgumentError, match="a list of one"):
        group.all_gather([into, flat], x)
    with pytest.raises(ArgumentError, match="already"):
        group.init_process_group("gloo")


def test_without_a_group() -> None:
    dist = fovea.distributed
    assert dist.is_available() and not dist.is_initialized()
    for call in (dist.get_rank, dist.get_world_size, dist.barrier):
        with pytest.raises(ValueError, match="no group"):
            call()
    with pytest.raises(ArgumentError, match="2 processes"):
        dist.init_process_group("nccl", world_size=2, rank=0)


def test_data_parallel_of_one_process(group: Any) -> None:
    net = fovea.nn.parallel.DistributedDataParallel(
        fovea.nn.Linear(2, 1), device_ids=None, find_unused_parameters=True
    )
    with net.no_sync():
        net(fovea.ones(1, 2)).sum().backward()
    net(fovea.ones(1, 2)).sum().backward()
    assert net.module.weight.grad.tolist() == [[2, 2]]
    assert list(net.state_dict()) == ["module.weight", "module.bias"]


def _write_rank(rank: int, folder: str) -> None:
    (Path(folder) / str(rank)).write_text(f"{os.getpid()} {rank}", encoding="utf-8")


def _fail(rank: int) -> None:
    raise ValueError(f"rank {rank} fails")


def test_spawned_processes(tmp_path: Path) -> None:
    mp = fovea.multiprocessing
    mp.spawn(_write_rank, args=(str(tmp_path),), nprocs=2, start_method="fork")
    told = [(tmp_path / str(i)).read_text(encoding="utf-8").split() for i in range(2)]
    assert [rank for _, rank in told] == ["0", "1"] and len({pid for pid, _ in told}) == 2
    with pytest.raises(mp.ProcessRaisedException, match="ValueError: rank 0 fails"):
        mp.spawn(_fail, nprocs=1, start_method="fork")
    mp.set_sharing_strategy("file_system")
    assert mp.get_sharing_strategy() == "file_system"
    mp.set_sharing_strategy("file_descriptor")
    with pytest.raises(ArgumentError):
        mp.set_sharing_strategy("shared")


# -- TorchScript ----------------------------------------------------------------------------------


class Net(fovea.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = fovea.nn.Sequential(fovea.nn.Linear(3, 4), fovea.nn.ReLU())
        self.head = fovea.nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.head(self.layers(x))


def test_traced_modules_are_saved_and_loaded(tmp_path: Path) -> None:
    net = Net().eval()
    traced = fovea.jit.trace(net, fovea.ones(1, 3))
    path = tmp_path / "net.pt"
    traced.save(path)
    loaded = fovea.jit.load(path, map_location="cpu").eval()
    for batch in (1, 5, 16):
        x = fovea.randn(batch, 3)
        assert fovea.allclose(loaded(x), net(x)) and fovea.allclose(traced(x), net(x))
    assert isinstance(loaded, fovea.nn.Module)
    assert {tuple(t.shape) for t in loaded.state_dict().values()} == {(4, 3), (4,), (2, 4), (2,)}


def test_traced_in_training(tmp_path: Path) -> None:
    """Saving leaves running statistics as they are."""
    net = fovea.nn.Sequential(fovea.nn.Linear(3, 4), fovea.nn.BatchNorm1d(4))
    traced = fovea.jit.trace(net, fovea.randn(4, 3))
    before = net[1].running_mean.clone()
    traced.save(tmp_path / "net.pt")
    assert fovea.equal(net[1].running_mean, before)
    loaded = fovea.jit.load(tmp_path / "net.pt")
    x = fovea.randn(7, 3)
    assert fovea.allclose(loaded(x), net(x), atol=1e-6)


def test_scripted_modules(tmp_path: Path) -> None:
    net = Net().eval()
    scripted = fovea.jit.script(net)
    with pytest.raises(ArgumentError, match=r"jit.trace\(model, example\)"):
        scripted.save(tmp_path / "net.pt")
    x = fovea.randn(2, 3)
    expected = net(x)
    assert fovea.allclose(scripted(x), expected)
    fovea.jit.save(scripted, tmp_path / "net.pt")
    assert fovea.allclose(fovea.jit.load(tmp_path / "net.pt")(x), expected)
    assert list(scripted.state_dict()) == list(net.state_dict())
    assert fovea.jit.freeze(fovea.jit.optimize_for_inference(scripted)) is scripted


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("lib", [fovea, torch])
def test_decorators(lib: Any) -> None:
    class Layer(lib.nn.Module):  # type: ignore[misc]
        size: lib.jit.Final[int]

        @lib.jit.ignore
        def one(self) -> int:
            return 1

        @lib.jit.unused
        def two(self) -> int:
            return 2

        @lib.jit.export
        def three(self) -> int:
            return 3

        @lib.jit.ignore(drop=False)
        def four(self) -> int:
            return 4

    layer = Layer()
    assert [layer.one(), layer.two(), layer.three(), layer.four()] == [1, 2, 3, 4]
    assert not lib.jit.is_scripting() and lib.jit.annotate(list[int], [1]) == [1]
    assert lib.jit.wait(lib.jit.fork(lambda x: x + 1, 2)) == 3


def test_decorators_of_the_compiler() -> None:
    @fovea.compiler.disable
    def plain(x: Any) -> Any:
        return x + 1

    @fovea.compiler.disable(recursive=False)
    def other(x: Any) -> Any:
        return x * 2

    compiled = fovea.compile(lambda x: other(plain(x)))
    assert compiled(fovea.ones(2)).tolist() == [4, 4]
    fovea.compiler.reset()
    with fovea.compiler.set_stance("force_eager"):
        assert compiled(fovea.zeros(2)).tolist() == [2, 2]
    assert not fovea.compiler.is_compiling() and not fovea.compiler.is_dynamo_compiling()


def test_safe_globals() -> None:
    serialization = fovea.serialization
    with serialization.safe_globals([Net]):
        assert serialization.get_safe_globals() == [Net]
    assert serialization.get_safe_globals() == []
