"""Sequential, functional and subclassed models; modules within and around."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as fk
from fovea import nn
from fovea.keras import Input, Model, Sequential, layers

from .compare import data

X = data((5, 4))


class TestSequential:
    def test_deferred_building(self) -> None:
        model = Sequential([layers.Dense(3), layers.Dense(2)])
        assert not model.built and model.weights == []
        assert model(X).shape == (5, 2)
        assert [tuple(w.shape) for w in model.weights] == [(4, 3), (3,), (3, 2), (2,)]

    @pytest.mark.parametrize("how", ["input", "input_shape", "build", "batch_shape"])
    def test_building_at_once(self, how: str) -> None:
        if how == "input":
            model = Sequential([Input(shape=(4,)), layers.Dense(2)])
        elif how == "input_shape":
            model = Sequential([layers.Dense(2, input_shape=(4,))])
        elif how == "batch_shape":
            model = Sequential([layers.InputLayer(batch_shape=(7, 4)), layers.Dense(2)])
        else:
            model = Sequential([layers.Dense(2)])
            model.build((None, 4))
        assert model.built and len(model.weights) == 2
        assert [layer.name for layer in model.layers] == ["dense"]
        assert model.input_shape == ((7, 4) if how == "batch_shape" else (None, 4))

    def test_add_and_pop(self) -> None:
        model = Sequential(name="mine")
        model.add(Input(shape=(4,)))
        model.add(layers.Dense(3))
        model.add(layers.Dense(2))
        assert model.name == "mine" and model.output_shape == (None, 2)
        assert model.pop().name == "dense_1"
        assert model.output_shape == (None, 3) and len(model.weights) == 2

    def test_features_of_inner_layers(self) -> None:
        model = Sequential([Input(shape=(4,)), layers.Dense(3), layers.Dense(2)])
        inner = Model(model.inputs, model.layers[0].output)
        np.testing.assert_allclose(inner(X).detach().numpy(), model.layers[0](X).detach().numpy())

    def test_same_name_twice(self) -> None:
        with pytest.raises(ValueError, match="called 'a' already"):
            Sequential([layers.Dense(1, name="a"), layers.Dense(1, name="a")])

    def test_no_layer(self) -> None:
        with pytest.raises(ValueError, match="a layer or a module is needed"):
            Sequential([layers.Dense(1), 3])
        with pytest.raises(ValueError, match="make a layer with Dense"):
            Sequential([layers.Dense])

    def test_wrong_shape_names_model_and_layer(self) -> None:
        model = Sequential([layers.Conv2D(3, 3, input_shape=(8, 8, 1), name="first")])
        with pytest.raises(ValueError, match='does not fit the model "sequential"'):
            model(np.zeros((1, 8, 8, 3), "f"))
        with pytest.raises(ValueError, match="first: a window of 3 does not fit"):
            Sequential([layers.Conv2D(3, 3, input_shape=(2, 2, 1), name="first")])

    def test_nested(self) -> None:
        inner = Sequential([Input(shape=(4,)), layers.Dense(3)])
        model = Sequential([inner, layers.Dense(2)])
        assert model.built and model(X).shape == (5, 2)
        assert len(model.trainable_weights) == 4

    def test_names_are_counted_as_keras_counts(self, keras: Any) -> None:
        def names(k: Any) -> list[str]:
            k.utils.clear_session()
            L = k.layers  # noqa: N806
            model = k.Sequential([L.Input(shape=(8, 8, 1)), L.Conv2D(1, 3), L.Conv2D(1, 3)])
            other = k.Sequential(
                [L.ReLU(), L.MaxPooling2D(), L.BatchNormalization(), L.Conv2D(1, 1)]
            )
            i = k.Input(shape=(3,))
            third = k.Model(i, L.Dense(2)(i))
            found = [m.name for m in (model, other, third)]
            return found + [layer.name for m in (model, other, third) for layer in m.layers]

        assert names(fk) == names(keras)


class TestFunctional:
    def test_branches(self) -> None:
        i = Input(shape=(4,))
        a, b = layers.Dense(3)(i), layers.Dense(3)(i)
        model = Model(i, layers.Add()([a, b]))
        expected = model.layers[1](X) + model.layers[2](X)
        np.testing.assert_allclose(model(X).detach().numpy(), expected.detach().numpy(), rtol=1e-6)

    def test_shared_layer(self) -> None:
        i, j = Input(shape=(4,)), Input(shape=(4,))
        shared = layers.Dense(3)
        model = Model([i, j], layers.Subtract()([shared(i), shared(j)]))
        assert len(model.weights) == 2
        np.testing.assert_allclose(model([X, X]).detach().numpy(), 0, atol=1e-6)
        with pytest.raises(AttributeError, match="called 2 times"):
            _ = shared.output

    @pytest.mark.parametrize("form", ["list", "dict", "dict for list"])
    def test_inputs(self, form: str) -> None:
        a, b = Input(shape=(4,), name="a"), Input(shape=(2,), name="b")
        out = layers.Concatenate()([a, b])
        model = Model({"a": a, "b": b} if form == "dict" else [a, b], {"both": out, "first": a})
        value: Any = {"b": X[:, :2], "a": X} if "dict" in form else [X, X[:, :2]]
        found = model(value)
        assert set(found) == {"both", "first"}
        np.testing.assert_allclose(found["both"].numpy(), np.concatenate([X, X[:, :2]], 1))
        assert model.predict(value, verbose=0)["first"].shape == (5, 4)

    def test_arithmetic(self) -> None:
        i = Input(shape=(4,))
        out = (1.0 - i * 2 + i[:, :1]) / 4 - (-i) ** 2
        expected = (1.0 - X * 2 + X[:, :1]) / 4 - (-X) ** 2
        np.testing.assert_allclose(Model(i, out)(X).numpy(), expected, rtol=1e-5)
        assert (i @ Input(shape=(4, 3), batch_size=1)[0]).shape == (None, 3)

    def test_activation_functions(self) -> None:
        i = Input(shape=(4,))
        model = Model(i, fk.activations.relu(i, negative_slope=0.5))
        np.testing.assert_allclose(model(X).numpy(), np.where(X > 0, X, X / 2), rtol=1e-6)

    def test_models_are_layers(self) -> None:
        i = Input(shape=(4,))
        inner = Model(i, layers.Dense(3)(i))
        j = Input(shape=(4,))
        outer = Model(j, layers.Dense(2)(inner(j)))
        assert len(outer.weights) == 4 and outer(X).shape == (5, 2)
        assert [layer.name for layer in outer.layers][1] == inner.name

    def test_feature_extraction(self) -> None:
        i = Input(shape=(8, 8, 1))
        x = layers.Conv2D(2, 3, name="features")(i)
        model = Model(i, layers.Dense(2)(layers.Flatten()(x)))
        inner = Model(model.inputs, [model.get_layer("features").output, model.output])
        features, out = inner(np.ones((1, 8, 8, 1), "f"))
        assert features.shape == (1, 6, 6, 2) and out.shape == (1, 2)

    def test_gradient_of_an_inner_output(self) -> None:
        """What class activation maps need: the gradient for a layer's output."""
        i = Input(shape=(8, 8, 1))
        x = layers.Conv2D(2, 3)(i)
        pooled = layers.MaxPooling2D()(x)
        model = Model(i, [x, layers.Dense(2)(layers.Flatten()(pooled))])
        features, out = model(np.ones((1, 8, 8, 1), "f"))
        (g,) = fovea.autograd.grad(out[:, 0].sum(), [features])
        assert g.shape == features.shape and float(g.abs().sum()) > 0

    def test_missing_input(self) -> None:
        i, j = Input(shape=(4,)), Input(shape=(4,), name="other")
        with pytest.raises(ValueError, match="need the input 'other'"):
            Model(i, layers.Add()([i, j]))

    def test_no_symbolic_tensors(self) -> None:
        with pytest.raises(ValueError, match="must be symbolic tensors"):
            Model(fovea.ones(2), fovea.ones(2))

    def test_symbolic_tensors_have_no_values(self) -> None:
        i = Input(shape=(4,))
        for attempt in (lambda: bool(i), lambda: list(i), lambda: np.asarray(i), lambda: float(i)):
            with pytest.raises(ValueError, match="has no values"):
                attempt()

    def test_wrong_number_of_inputs(self) -> None:
        i, j = Input(shape=(4,)), Input(shape=(4,))
        with pytest.raises(ValueError, match="2 inputs are needed"):
            Model([i, j], layers.Add()([i, j]))([X])

    def test_unknown_output_shape_is_found_by_running(self) -> None:
        class Odd(layers.Layer):
            def call(self, x: Any) -> Any:
                return [x.sum(-1), x.repeat(1, 2)]

        i = Input(shape=(4,))
        a, b = Odd()(i)
        assert a.shape == (None,) and b.shape == (None, 8)


class Block(layers.Layer):
    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.dense = layers.Dense(units)
        self.drop = layers.Dropout(0.5)

    def call(self, x: Any, training: bool | None = None) -> Any:
        return self.drop(self.dense(x))


class Net(Model):
    def __init__(self, depth: int = 2, name: str | None = None) -> None:
        super().__init__(name=name)
        self.depth = depth
        self.blocks = [Block(4) for _ in range(depth)]
        self.heads = {"a": layers.Dense(2), "b": layers.Dense(3)}
        self.norm = layers.BatchNormalization()

    def call(self, x: Any, training: bool | None = None) -> Any:
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return {k: head(x) for k, head in self.heads.items()}


class TestSubclassed:
    def test_weights_in_lists_and_dictionaries(self) -> None:
        model = Net()
        out = model(X)
        assert {k: tuple(v.shape) for k, v in out.items()} == {"a": (5, 2), "b": (5, 3)}
        assert len(model.weights) == 2 * 2 + 2 * 2 + 4
        assert len(model.trainable_weights) == 10 and len(model.non_trainable_weights) == 2
        names = [layer.name for layer in model.layers]
        assert sorted(names) == ["batch_normalization", "block", "block_1", "dense_2", "dense_3"]
        assert "blocks.0.dense.kernel" in model.state_dict()

    def test_appending_to_a_list(self) -> None:
        model = Net(1)
        model.blocks.append(Block(4))
        model(X)
        assert len(model.weights) == 12
        model.blocks.pop()
        assert len(model.weights) == 10

    def test_training_reaches_inner_layers(self) -> None:
        model = Net()
        assert (model(X)["a"].detach().numpy() == model(X)["a"].detach().numpy()).all()
        trained = [model(X, training=True)["a"].detach().numpy() for _ in range(2)]
        assert (trained[0] != trained[1]).any()
        moving = model.norm.moving_mean.numpy()
        model(X)
        assert (model.norm.moving_mean.numpy() == moving).all()
        assert (moving != 0).any()

    def test_train_and_eval(self) -> None:
        """The habits of modules: a mode that stays."""
        layer = layers.Dropout(0.5)
        ones = np.ones((4, 50), "f")
        assert (layer(ones).numpy() == 1).all()
        layer.train()
        assert (layer(ones).numpy() == 0).any()
        assert (layer(ones, training=False).numpy() == 1).all()
        layer.eval()
        assert (layer(ones).numpy() == 1).all()

    def test_freezing(self) -> None:
        model = Net()
        model(X)
        model.blocks[0].trainable = False
        assert len(model.trainable_weights) == 8
        assert not model.blocks[0].dense.kernel.requires_grad
        model.trainable = False
        assert model.trainable_weights == [] and len(model.non_trainable_weights) == 12
        model.trainable = True
        assert len(model.trainable_weights) == 10

    def test_freezing_before_building(self) -> None:
        layer = layers.Dense(2, trainable=False)
        layer(X)
        assert layer.trainable_weights == [] and not layer.kernel.requires_grad

    def test_get_and_set_weights(self) -> None:
        one, two = Net(), Net()
        one(X), two(X)
        two.set_weights(one.get_weights())
        np.testing.assert_array_equal(one(X)["a"].detach().numpy(), two(X)["a"].detach().numpy())
        with pytest.raises(ValueError, match="has 12 weights, 1 were given"):
            two.set_weights([np.zeros(1)])
        wrong = one.get_weights()
        wrong[0] = wrong[0].T[:1]
        with pytest.raises(ValueError, match="set_weights"):
            two.set_weights(wrong)

    def test_weights_made_in_build(self) -> None:
        class Scale(layers.Layer):
            def build(self, input_shape: Any) -> None:
                self.w = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
                self.steps = self.add_weight(
                    name="steps", shape=(), initializer="zeros", trainable=False
                )

            def call(self, x: Any) -> Any:
                return x * self.w

        layer = Scale()
        layer(X)
        assert [w.name for w in layer.weights] == ["scale", "steps"]
        assert [w.path for w in layer.trainable_weights] == ["scale/scale"]
        assert list(layer.state_dict()) == ["w", "steps"]

    def test_two_inputs_in_build(self) -> None:
        class Pair(layers.Layer):
            def build(self, a_shape: Any, b_shape: Any) -> None:
                self.w = self.add_weight(shape=(a_shape[-1], b_shape[-1]))

            def call(self, a: Any, b: Any) -> Any:
                return (a @ self.w) * b

        layer = Pair()
        assert layer(X, b=X[:, :2]).shape == (5, 2)

    def test_no_call(self) -> None:
        with pytest.raises(ValueError, match="defines no call"):
            Model()(X)

    def test_unknown_keyword(self) -> None:
        with pytest.raises(ValueError, match=r"unknown argument"):
            Model(nme="x")


class TestModules:
    def test_module_in_sequential(self) -> None:
        model = Sequential([Input(shape=(4,)), nn.Linear(4, 3), nn.ReLU(), layers.Dense(2)])
        assert model(X).shape == (5, 2) and len(model.trainable_weights) == 4
        assert [layer.name for layer in model.layers] == ["linear", "re_lu", "dense"]
        model.compile("adam", "mse")
        before = model.get_weights()
        model.fit(X, np.ones((5, 2)), verbose=0)
        assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))

    def test_module_in_a_subclass(self) -> None:
        class Mixed(Model):
            def __init__(self) -> None:
                super().__init__()
                self.conv = nn.Conv2d(1, 2, 3)
                self.norm = nn.BatchNorm2d(2)
                self.head = layers.Dense(3)

            def call(self, x: Any) -> Any:
                x = self.norm(self.conv(x.permute(0, 3, 1, 2))).relu()
                return self.head(x.flatten(1))

        model = Mixed()
        model.compile("sgd", fk.losses.SparseCategoricalCrossentropy(from_logits=True))
        x = data((6, 8, 8, 1))
        model.fit(x, np.zeros(6), validation_data=(x, np.zeros(6)), verbose=0, epochs=2)
        moved = model.norm.running_mean.clone()
        assert float(moved.abs().sum()) > 0
        model.evaluate(x, np.zeros(6), verbose=0)
        assert fovea.equal(moved, model.norm.running_mean)
        assert len(model.trainable_weights) == 6

    def test_layers_in_a_module(self) -> None:
        net = nn.Sequential(layers.Dense(3), layers.BatchNormalization(), layers.Dropout(0.5))
        x = fovea.tensor(X)
        net.train()
        net(x)
        assert float(net[1].moving_mean.abs().sum()) > 0
        net.eval()
        assert fovea.equal(net(x), net(x))
        assert [n for n, _ in net.named_parameters()] == ["0.kernel", "0.bias", "1.gamma", "1.beta"]
        assert "1.moving_mean" in net.state_dict()

    def test_layers_follow_the_module_that_holds_them(self) -> None:
        """A module starts in training mode; a layer it holds does as it does."""
        net = nn.Sequential(layers.Dropout(0.5))
        assert (net(fovea.ones(4, 50)) == 0).any()

        class Own(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.drop = layers.Dropout(0.5)

            def forward(self, x: Any) -> Any:
                return self.drop(x)

        own = Own()
        assert (own(fovea.ones(4, 50)) == 0).any()
        assert (own.eval()(fovea.ones(4, 50)) == 1).all()

    def test_trained_by_a_loop_of_ones_own(self) -> None:
        model = Sequential([Input(shape=(4,)), layers.Dense(8, activation="relu"), layers.Dense(1)])
        optimizer = fovea.optim.Adam(model.parameters(), lr=0.05)
        x = fovea.tensor(data((64, 4)))
        y = x.sum(1, keepdim=True)
        losses = []
        model.train()
        for _ in range(40):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0] * 0.2

    def test_hooks(self) -> None:
        layer = layers.Dense(2)
        seen: list[Any] = []
        layer.register_forward_hook(lambda module, args, out: seen.append(tuple(out.shape)))
        Sequential([layer])(X)
        assert seen == [(5, 2)]

    def test_state_dict_round_trip(self) -> None:
        one, two = (Sequential([Input(shape=(4,)), layers.Dense(3)]) for _ in range(2))
        assert list(two.state_dict()) == ["dense.kernel", "dense.bias"]
        two.load_state_dict(one.state_dict())
        np.testing.assert_array_equal(one.get_weights()[0], two.get_weights()[0])

    def test_error_path(self) -> None:
        model = Sequential([layers.Dense(3, name="first"), layers.Dense(2, name="second")])
        model(X)
        model.layers[1].kernel.data = fovea.zeros(7, 2)
        with pytest.raises(ValueError, match=r"at +sequential\.second"):
            model(X)

    def test_error_path_through_modules(self) -> None:
        net = nn.Sequential(layers.Dense(3, name="first"))
        net(fovea.tensor(X))
        with pytest.raises(ValueError, match=r"at +0\.first|at +first"):
            net(fovea.ones(2, 9))


class TestCopies:
    def model(self) -> Any:
        model = Sequential([Input(shape=(4,)), layers.Dense(3), layers.BatchNormalization()])
        model(X, training=True)
        return model

    @pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
    def test_functional(self, how: Any) -> None:
        i = Input(shape=(4,))
        shared = layers.Dense(4, kernel_regularizer="l2")
        model = Model(i, layers.Add()([shared(i), shared(shared(i))]))
        twin = how(model)
        np.testing.assert_array_equal(model(X).detach().numpy(), twin(X).detach().numpy())
        weight = twin.weights[0]
        assert weight.name == "kernel" and weight.regularizer.l2 == 0.01
        assert weight.strides == model.weights[0].strides
        twin.compile("sgd", "mse")
        twin.fit(X, X, verbose=0)
        assert (twin.get_weights()[0] != model.get_weights()[0]).any()

    def test_deepcopy(self) -> None:
        model = self.model()
        twin = copy.deepcopy(model)
        np.testing.assert_array_equal(model(X).detach().numpy(), twin(X).detach().numpy())
        twin.layers[0].kernel.assign(np.zeros((4, 3)))
        assert (model.layers[0].kernel.numpy() != 0).any()
        assert twin.layers[0].kernel.name == "kernel" and len(twin.trainable_weights) == 4

    def test_pickle(self) -> None:
        model = self.model()
        twin = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(model(X).detach().numpy(), twin(X).detach().numpy())

    def test_clone(self) -> None:
        i = Input(shape=(4,))
        shared = layers.Dense(4)
        functional = Model(i, layers.Add()([shared(i), shared(shared(i))]))
        for model in (self.model(), functional):
            twin = fk.models.clone_model(model)
            assert [tuple(w.shape) for w in twin.weights] == [tuple(w.shape) for w in model.weights]
            assert all(a is not b for a, b in zip(twin.weights, model.weights, strict=True))
            twin.set_weights(model.get_weights())
            np.testing.assert_allclose(
                model(X).detach().numpy(), twin(X).detach().numpy(), rtol=1e-6
            )

    def test_clone_function(self) -> None:
        def wider(layer: Any) -> Any:
            config = layer.get_config()
            if "units" in config:
                config["units"] *= 2
            return type(layer).from_config(config)

        twin = fk.models.clone_model(self.model(), clone_function=wider)
        assert twin.output_shape == (None, 6)

    def test_json(self) -> None:
        i = Input(shape=(4,), name="in")
        model = Model(i, [layers.Dense(3, activation="relu")(i), layers.Dense(2)(i)])
        twin = fk.models.model_from_json(model.to_json())
        assert twin.get_config() == model.get_config()


class TestLayer:
    def test_own_configuration(self) -> None:
        block = Block(7, name="b")
        config = block.get_config()
        assert config["units"] == 7 and config["name"] == "b"
        assert Block.from_config(config).units == 7

    def test_unknown_argument(self) -> None:
        with pytest.raises(TypeError, match="did you mean 'use_bias'") as caught:
            layers.Dense(3, use_biass=True)
        assert "Dense: unknown argument 'use_biass'" in str(caught.value)
        with pytest.raises(ValueError, match="did you mean 'filters'"):
            layers.Conv2D(3, 3, filter=3)

    @pytest.mark.parametrize(
        "make",
        [
            lambda: layers.Dense(0),
            lambda: layers.Dense(2.5),
            lambda: layers.Conv2D(3, (3, 3, 3)),
            lambda: layers.Conv2D(3, 3, padding="sme"),
            lambda: layers.Conv2D(3, 3, strides=2, dilation_rate=2),
            lambda: layers.Conv2D(3, 3, groups=2),
            lambda: layers.Dense(3, activation="rellu"),
            lambda: layers.Dense(3, kernel_initializer="glorot"),
            lambda: layers.MaxPooling2D(0),
            lambda: layers.Flatten(data_format="NHWC"),
            lambda: layers.Permute((0, 1)),
            lambda: layers.Reshape((-1, -1)),
            lambda: layers.ReLU(max_value=-1),
            lambda: layers.UpSampling2D(interpolation="cubic"),
            lambda: layers.Dense(3, name="a/b"),
            lambda: layers.Dense(3, dtype="mixed_int8"),
            lambda: layers.Dense(3, kernel_regularizer=3),
        ],
    )
    def test_bad_arguments(self, make: Any) -> None:
        with pytest.raises((ValueError, TypeError)):
            make()

    @pytest.mark.parametrize(
        ("layer", "shape"),
        [
            (lambda: layers.Conv2D(2, 3, name="x"), (2, 8, 8)),
            (lambda: layers.MaxPooling2D(name="x"), (2, 8)),
            (lambda: layers.Dense(2, name="x"), (3,)),
            (lambda: layers.BatchNormalization(axis=5, name="x"), (2, 3)),
            (lambda: layers.GroupNormalization(groups=3, name="x"), (2, 8)),
            (lambda: layers.Reshape((7,), name="x"), (2, 8)),
            (lambda: layers.Cropping2D(5, name="x"), (1, 8, 8, 1)),
            (lambda: layers.UpSampling2D(name="x"), (1, 8, 8)),
        ],
    )
    def test_bad_shapes_name_the_layer(self, layer: Any, shape: Any) -> None:
        with pytest.raises(ValueError, match=r"\bx\b"):
            layer()(np.zeros(shape, "f"))

    def test_merging_what_does_not_fit(self) -> None:
        with pytest.raises(ValueError, match="do not fit together"):
            layers.Add()([Input(shape=(3,)), Input(shape=(4,))])
        with pytest.raises(ValueError, match="differ outside axis"):
            layers.Concatenate(axis=1)([Input(shape=(3, 2)), Input(shape=(3, 4))])

    def test_embedding_range(self) -> None:
        with pytest.raises(IndexError, match="out of range for 3 rows"):
            layers.Embedding(3, 2)(np.array([3]))

    def test_variable(self) -> None:
        v = fk.Variable(np.ones((2, 2)), name="v")
        v.assign_add(np.ones((2, 2)))
        v.assign_sub(0.5)
        assert v.numpy().tolist() == [[1.5, 1.5], [1.5, 1.5]]
        assert v.value is v and v.trainable
        with pytest.raises(ValueError, match="has shape"):
            v.assign(np.ones(3))
