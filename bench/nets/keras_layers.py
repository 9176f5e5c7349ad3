"""``Layers`` of Keras: each call makes a layer, which gets its weights once the model is built."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.nets import Net

__all__ = ["KerasLayers", "keras_model"]

Array = np.ndarray[Any, Any]


def keras_model(keras: Any, net: Net, state: dict[str, Array], size: int) -> tuple[Any, Any]:
    """The network as a functional model on channels-last images, and the layers it is made of."""
    f = KerasLayers(keras, state)
    image = keras.Input((size, size, net.channels))
    model = keras.Model(image, f.logits(net.describe(f, image)))
    for layer, values in f.values:
        layer.set_weights(values)
    return model, f


class KerasLayers:
    """Keras's layers with the weights of ``state``, which has PyTorch's names and shapes."""

    def __init__(self, keras: Any, state: dict[str, Array]) -> None:
        self.keras, self.layers, self.state = keras, keras.layers, state
        self.values: list[tuple[Any, list[Array]]] = []
        self.kernels: dict[str, Any] = {}  # the layer that holds a weight of this name

    def _made(self, name: str, layer: Any, x: Any, values: list[Array]) -> Any:
        y = layer(x)
        self.values.append((layer, values))
        self.kernels[f"{name}.weight"] = layer
        return y

    def _bias(self, name: str) -> list[Array]:
        return [self.state[f"{name}.bias"]] if f"{name}.bias" in self.state else []

    def kernel_of(self, name: str) -> Array:
        """What a convolution or a linear layer holds now, in PyTorch's order."""
        value = np.asarray(self.kernels[name].get_weights()[0])
        if value.ndim == 4:
            depthwise = self.state[name].shape[1] == 1 and value.shape[3] == 1
            return value.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
        return value.T

    def logits(self, x: Any) -> Any:
        """Numbers in float32, whatever the rest computes in."""
        return self.layers.Activation("linear", dtype="float32")(x)

    def has(self, name: str) -> bool:
        return name in self.state

    def kernel(self, name: str) -> int:
        return int(self.state[f"{name}.weight"].shape[2])

    def conv(self, name: str, x: Any, stride: int = 1, padding: int = 0) -> Any:
        weight = self.state[f"{name}.weight"]
        size, bias = weight.shape[2], self._bias(name)
        same = stride == 1 and 2 * padding == size - 1
        if padding and not same:
            x = self.layers.ZeroPadding2D(padding)(x)
        common = {
            "strides": stride, "padding": "same" if same else "valid", "use_bias": bool(bias),
        }  # fmt: skip
        if weight.shape[1] == 1 and x.shape[-1] > 1:
            layer = self.layers.DepthwiseConv2D(size, **common)
            return self._made(name, layer, x, [weight.transpose(2, 3, 0, 1), *bias])
        layer = self.layers.Conv2D(weight.shape[0], size, **common)
        return self._made(name, layer, x, [weight.transpose(2, 3, 1, 0), *bias])

    def conv_transpose(self, name: str, x: Any) -> Any:
        weight = self.state[f"{name}.weight"]
        size = weight.shape[2]
        layer = self.layers.Conv2DTranspose(weight.shape[1], size, strides=size)
        return self._made(name, layer, x, [weight.transpose(2, 3, 1, 0), *self._bias(name)])

    def norm(self, name: str, x: Any) -> Any:
        names = ("weight", "bias", "running_mean", "running_var")
        values = [self.state[f"{name}.{n}"] for n in names]
        layer = self.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
        return self._made(name, layer, x, values)

    def layer_norm(self, name: str, x: Any) -> Any:
        values = [self.state[f"{name}.{n}"] for n in ("weight", "bias")]
        return self._made(name, self.layers.LayerNormalization(epsilon=1e-6), x, values)

    def linear(self, name: str, x: Any) -> Any:
        weight = self.state[f"{name}.weight"]
        layer = self.layers.Dense(weight.shape[0])
        return self._made(name, layer, x, [weight.T, *self._bias(name)])

    def flat_linear(self, name: str, x: Any) -> Any:
        weight = self.state[f"{name}.weight"]
        _, height, width, channels = x.shape
        places = weight.reshape(-1, channels, height, width).transpose(2, 3, 1, 0)
        layer = self.layers.Dense(weight.shape[0])
        values = [places.reshape(-1, weight.shape[0]), *self._bias(name)]
        return self._made(name, layer, self.layers.Flatten()(x), values)

    def act(self, kind: str, x: Any) -> Any:
        if kind == "gelu":
            return self.layers.Lambda(lambda t: self.keras.ops.gelu(t, approximate=False))(x)
        return self.layers.Activation(kind)(x)

    def max_pool(self, x: Any, size: int, stride: int, padding: int = 0) -> Any:
        if padding:  # behind ReLU, zeros do not count
            x = self.layers.ZeroPadding2D(padding)(x)
        return self.layers.MaxPooling2D(size, stride)(x)

    def mean(self, x: Any, keep: bool = False) -> Any:
        return self.layers.GlobalAveragePooling2D(keepdims=keep)(x)

    def add(self, x: Any, y: Any) -> Any:
        return self.layers.Add()([x, y])

    def multiply(self, x: Any, y: Any) -> Any:
        return self.layers.Multiply()([x, y])

    def cat(self, x: Any, y: Any) -> Any:
        return self.layers.Concatenate()([x, y])

    def scale(self, name: str, x: Any) -> Any:
        value = self.state[name].reshape(-1)
        return self._made(name, _scale(self.keras)(), x, [value])

    def tokens(self, token: str, positions: str, x: Any) -> Any:
        x = self.layers.Reshape((x.shape[1] * x.shape[2], x.shape[3]))(x)
        values = [self.state[token], self.state[positions]]
        return self._made(token, _tokens(self.keras)(), x, values)

    def attention(self, name: str, x: Any, heads: int) -> Any:
        features = x.shape[-1]
        each = features // heads
        weight, bias = self.state[f"{name}.in_proj_weight"], self.state[f"{name}.in_proj_bias"]
        values = []
        for w, b in zip(np.split(weight, 3), np.split(bias, 3), strict=True):
            values += [w.T.reshape(features, heads, each), b.reshape(heads, each)]
        out = self.state[f"{name}.out_proj.weight"].T.reshape(heads, each, features)
        values += [out, self.state[f"{name}.out_proj.bias"]]
        # Keras keeps query, key, value in this order.
        layer = self.layers.MultiHeadAttention(heads, each)
        y = layer(x, x)
        self.values.append((layer, values))
        return y

    def first(self, x: Any) -> Any:
        return x[:, 0]


def _scale(keras: Any) -> Any:
    class Scale(keras.layers.Layer):  # type: ignore[misc]
        """Each channel times a learned factor."""

        def build(self, shape: Any) -> None:
            self.factor = self.add_weight(shape=(shape[-1],))

        def call(self, x: Any) -> Any:
            return x * self.factor

    return Scale


def _tokens(keras: Any) -> Any:
    class Tokens(keras.layers.Layer):  # type: ignore[misc]
        """A sequence behind a learned token, plus learned positions."""

        def build(self, shape: Any) -> None:
            _, length, features = shape
            self.token = self.add_weight(shape=(1, 1, features))
            self.positions = self.add_weight(shape=(1, length + 1, features))

        def call(self, x: Any) -> Any:
            ops = keras.ops
            token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, x.shape[-1]))
            return ops.concatenate([ops.cast(token, x.dtype), x], 1) + self.positions

    return Tokens
