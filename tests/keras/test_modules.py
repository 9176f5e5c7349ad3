"""Modules of ``fovea.nn`` within Keras models, and Keras layers within modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as fk
from fovea import nn
from fovea.keras import Input, Model, Sequential, layers

from .compare import data

X = data((6, 4))


class Block(nn.Module):
    """A module with a Keras layer in it, a shared parameter, and plain attributes of all kinds."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.widths, self.options = (width, 2.5), {"act": nn.functional.relu, "kind": fovea.float32}
        self.first = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width)
        self.dense = layers.Dense(width, name="inner")
        self.drop = layers.Dropout(0.5)
        self.again = nn.Linear(width, width)
        self.again.weight = self.first.weight
        self.register_buffer("scale", fovea.tensor([2.0, 1.0, 1.0, 0.5]), persistent=False)

    def forward(self, x: Any) -> Any:
        x = self.options["act"](self.norm(self.first(x))) * self.scale
        return self.again(self.drop(self.dense(x)))


def outputs(model: Any, x: Any = X) -> Any:
    return model(x, training=False).detach().numpy()


class TestSymbolicCalls:
    def test_a_module_joins_a_graph(self) -> None:
        i = Input(shape=(4,))
        net = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
        model = Model(i, layers.Dense(2)(net(i)))
        assert model.output_shape == (None, 2) and len(model.trainable_weights) == 4
        want = model.layers[-1](net(fovea.tensor(X)))
        np.testing.assert_array_equal(outputs(model), want.detach().numpy())

    def test_a_module_called_twice_is_one_layer(self) -> None:
        i = Input(shape=(4,))
        net = nn.Linear(4, 4)
        model = Model(i, net(net(i)))
        assert len(model.layers) == 2 and len(list(model.parameters())) == 2
        want = net(net(fovea.tensor(X))).detach().numpy()
        np.testing.assert_array_equal(outputs(model), want)

    def test_several_tensors_and_constants(self) -> None:
        class Two(nn.Module):
            def forward(self, a: Any, b: Any, scale: float = 1.0) -> Any:
                return {"sum": a + b * scale, "rows": b.sum(1)}

        a, b = Input(shape=(4,)), Input(shape=(4,))
        found = Two()(a, b=b, scale=2.0)
        assert found["sum"].shape == (None, 4) and found["rows"].shape == (None,)
        got = Model([a, b], found)([X, X])
        np.testing.assert_allclose(got["sum"].numpy(), 3 * X, rtol=1e-6)

    def test_integers_and_images(self) -> None:
        i = Input(shape=(5,), dtype="int32")
        y = nn.Embedding(7, 3)(i)
        assert y.shape == (None, 5, 3) and y.dtype == "float32"
        image = Input(shape=(3, None, None))
        assert nn.Conv2d(3, 8, 3, stride=2)(image).shape == (None, 8, None, None)

    def test_probing_leaves_no_trace(self) -> None:
        block = Block()
        block.norm.eval()
        block(Input(shape=(4,)))
        assert block.training and not block.norm.training
        assert int(block.norm.num_batches_tracked) == 0

    def test_functions_say_what_to_use(self) -> None:
        with pytest.raises(ValueError, match=r"those of keras\.ops take it"):
            nn.functional.relu(Input(shape=(4,)))


def holders() -> list[Any]:
    class Own(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(4)
            self.parts = [nn.Dropout(0.5)]

        def call(self, x: Any) -> Any:
            return self.parts[0](self.norm(x))

    class Whole(Model):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.drop = nn.BatchNorm1d(4), nn.Dropout(0.5)

        def call(self, x: Any, training: bool | None = None) -> Any:
            return self.drop(self.norm(x))

    net = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5))
    return [
        Own(),
        Whole(),
        Sequential([net]),
        nn.Sequential(Own()),
        nn.Sequential(Sequential([net])),
    ]


class TestModes:
    @pytest.mark.parametrize("number", range(5))
    def test_modules_follow(self, number: int) -> None:
        """Batch normalization counts batches, and dropout drops, in training mode alone."""
        model = holders()[number]
        norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm1d))
        x = fovea.tensor(data((64, 4)))

        def trained(**how: Any) -> bool:
            before = int(norm.num_batches_tracked)
            dropped = bool((model(x, **how) == 0).any())
            counted = int(norm.num_batches_tracked) == before + 1
            assert dropped == counted
            return counted

        if isinstance(model, layers.Layer):
            assert not trained()  # a Keras call is inference unless told otherwise
            assert trained(training=True) and not trained(training=False)
            assert not trained()
        model.train()
        assert trained()
        model.eval()
        assert not trained()

    def test_fit_and_predict(self) -> None:
        block = Block()
        model = Sequential([Input(shape=(4,)), block])
        model.compile("sgd", "mse")
        model.fit(X, X, epochs=2, batch_size=3, verbose=0)
        assert int(block.norm.num_batches_tracked) == 4
        assert float(block.dense.kernel.abs().sum()) > 0
        first, second = (model.predict(X, verbose=0) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert int(block.norm.num_batches_tracked) == 4

    def test_a_frozen_part_stays_frozen(self) -> None:
        """What a user puts into evaluation mode within a module stays there in a loop."""
        net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        model = Sequential([net])
        model.train()
        net[1].eval()
        model(X)
        assert int(net[1].num_batches_tracked) == 0 and net.training


class TestOneHouse:
    def mixed(self) -> Any:
        return Sequential(
            [Input(shape=(4,)), layers.Dense(8), nn.Sequential(nn.Linear(8, 3), nn.BatchNorm1d(3))]
        )

    def test_names_do_not_depend_on_what_was_made_before(self) -> None:
        names = list(self.mixed().state_dict())
        assert names == list(self.mixed().state_dict())
        assert names[0] == "dense.kernel" and names[2] == "sequential.module.0.weight"
        named = Sequential([layers.Dense(1), layers.Dense(1, name="dense"), layers.Dense(1)])
        named(X)
        assert [n for n, _ in named.named_children()] == ["dense_1", "dense", "dense_2"]

    def test_states_through_a_file(self, tmp_path: Path) -> None:
        one, two = nn.Sequential(self.mixed()), nn.Sequential(self.mixed())
        one.train()
        one(fovea.tensor(X))
        fovea.save(one.state_dict(), tmp_path / "state.pth")
        two.load_state_dict(fovea.load(tmp_path / "state.pth"))
        x = fovea.tensor(X)
        assert fovea.equal(one.eval()(x), two.eval()(x))

    @pytest.mark.parametrize("dtype", [fovea.float64, fovea.bfloat16, fovea.float16])
    @pytest.mark.parametrize("outer", [True, False])
    def test_to(self, dtype: Any, outer: bool) -> None:
        model = self.mixed()
        net = (nn.Sequential(model) if outer else model).to(dtype)
        assert {p.dtype for p in net.parameters()} == {dtype}
        out = net(fovea.tensor(X).to(dtype))
        assert out.dtype is dtype and model.layers[0].dtype == dtype.name
        if dtype is fovea.float64:  # nothing is rounded to float32 on the way
            x = X.astype(np.float64) + 1e-12
            moved = net(fovea.tensor(x)) - net(fovea.tensor(x - 1e-12))
            assert float(moved.abs().sum()) > 0

    @pytest.mark.parametrize("compiled", [False, True])
    def test_a_loop_like_pytorchs(self, compiled: bool) -> None:
        fk.utils.set_random_seed(0)
        i = Input(shape=(4,))
        h = layers.Dropout(0.1)(layers.BatchNormalization()(layers.Dense(16, activation="relu")(i)))
        model = Model(i, nn.Linear(16, 1)(h))
        optimizer = fovea.optim.Adam(model.parameters(), lr=0.02)
        x = fovea.tensor(data((64, 4)))
        y = x.sum(1, keepdim=True)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        run = fovea.compile(step) if compiled else step
        model.train()
        losses = [run(x, y).item() for _ in range(60)]
        assert losses[-1] < 0.3 * losses[0]
        assert float(model.layers[2].moving_mean.abs().sum()) > 0
        model.eval()
        assert fovea.equal(model(x), model(x))

    def test_compiled_calls_follow_the_mode(self) -> None:
        """A program made of a call in training mode is not run in evaluation."""
        model = Sequential([Input((50,)), layers.Dropout(0.5)])
        x = fovea.ones(4, 50)
        run = fovea.compile(lambda x: model(x))
        for _ in range(2):
            assert (run(x) == 1).all()
        model.train()
        assert (run(x) == 0).any()
        model.eval()
        assert (run(x) == 1).all()

    def test_fit_does_what_a_loop_does(self) -> None:
        """The same network, as a module in a loop and in a Keras model through fit: same weights."""

        def net() -> Any:
            fovea.manual_seed(3)
            return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))

        y = data((6, 2))
        looped, fitted = net(), net()
        optimizer = fovea.optim.SGD(looped.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            nn.functional.mse_loss(looped(fovea.tensor(X)), fovea.tensor(y)).backward()
            optimizer.step()
        model = Sequential([fitted])
        model.compile(fk.optimizers.SGD(0.1), "mse")
        model.fit(X, y, batch_size=6, epochs=5, verbose=0)
        for name, value in looped.state_dict().items():
            got = fitted.state_dict()[name].numpy()
            np.testing.assert_allclose(got, value.numpy(), rtol=2e-5, atol=1e-6, err_msg=name)


class TestFiles:
    def model(self) -> Any:
        i = Input(shape=(4,))
        model = Model(i, layers.Dense(2)(Block()(i)))
        model(X, training=True)
        return model

    def test_keras_file(self, tmp_path: Path) -> None:
        model = self.model()
        model.compile("adam", "mse")
        model.fit(X, data((6, 2)), verbose=0)
        model.save(tmp_path / "m.keras")
        with pytest.raises(ValueError, match=r"custom_objects=\{'Block': Block\}"):
            fk.models.load_model(tmp_path / "m.keras")
        read = fk.models.load_model(tmp_path / "m.keras", custom_objects={"Block": Block})
        np.testing.assert_array_equal(outputs(read), outputs(model))
        block = read.layers[1].module
        assert block.again.weight is block.first.weight and block.widths == (4, 2.5)
        assert block.options == {"act": nn.functional.relu, "kind": fovea.float32}
        for m in (model, read):  # the optimizer goes on where it was
            m.fit(X, data((6, 2)), shuffle=False, verbose=0)
        for a, b in zip(model.optimizer.variables, read.optimizer.variables, strict=True):
            assert a.shape == b.shape

    def test_weights_file(self, tmp_path: Path) -> None:
        one, two = self.model(), self.model()
        one.save_weights(tmp_path / "m.weights.h5")
        two.load_weights(tmp_path / "m.weights.h5")
        np.testing.assert_array_equal(outputs(one), outputs(two))

    def test_modules_of_fovea_need_no_registration(self, tmp_path: Path) -> None:
        net = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
            nn.GroupNorm(2, 4),
            nn.GELU(approximate="tanh"),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Unflatten(1, (2, 2)),
            nn.TransformerEncoderLayer(2, 1, 4, batch_first=True),
        )
        model = Sequential([Input(shape=(3, 8, 8)), net])
        model.save(tmp_path / "m.keras")
        read = fk.models.load_model(tmp_path / "m.keras")
        x = data((2, 3, 8, 8))
        np.testing.assert_array_equal(outputs(read, x), outputs(model, x))
        assert repr(read.layers[0].module) == repr(net)

    def test_what_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        net = nn.Linear(4, 2)
        net.helper = object()
        with pytest.raises(ValueError, match=r"Linear\.helper is a object"):
            Sequential([net]).save(tmp_path / "m.keras")

    def test_clone_has_weights_of_its_own(self) -> None:
        model = Sequential([Input(shape=(4,)), nn.Linear(4, 2)])
        clone = fk.models.clone_model(model)
        own, copied = model.layers[0].module.weight, clone.layers[0].module.weight
        assert copied.shape == own.shape and not fovea.equal(copied, own)

    def test_kerass_pickled_modules_are_refused(self) -> None:
        with pytest.raises(ValueError, match="fovea runs none"):
            layers.TorchModuleWrapper.from_config({"name": "m", "module": "gAJjdG9yY2g="})


def test_weights_files_of_kerass_wrapper(keras: Any, tmp_path: Path) -> None:
    """Keras on PyTorch and fovea read each other's files of the same mix."""
    torch = pytest.importorskip("torch")
    theirs = keras.Sequential(
        [
            keras.layers.Dense(5),
            keras.layers.TorchModuleWrapper(
                torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.BatchNorm1d(3))
            ),
        ]
    )
    ours = Sequential([layers.Dense(5), nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3))])
    for model in (theirs, ours):
        model(X)
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    ours.load_weights(tmp_path / "theirs.weights.h5")
    want = theirs(X, training=False).detach().numpy()
    np.testing.assert_allclose(outputs(ours), want, rtol=1e-5, atol=1e-6)
    ours.layers[1].module[0].weight.data.fill_(0.25)
    ours.save_weights(tmp_path / "ours.weights.h5")
    theirs.load_weights(tmp_path / "ours.weights.h5")
    want = theirs(X, training=False).detach().numpy()
    np.testing.assert_allclose(outputs(ours), want, rtol=1e-5, atol=1e-6)
