"""``Layer``: a module that makes its weights when it first sees its input, and joins graphs."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import numpy as np

from fovea import dtypes, watching
from fovea.errors import ArgumentError, FoveaError
from fovea.functions import creation
from fovea.keras import config, dtype_policies, masking, recomputing, regularizers, standins
from fovea.keras.dtype_policies import DTypePolicy
from fovea.keras.keras_tensor import KerasTensor, Node, any_symbolic, is_shape
from fovea.keras.layers.arguments import constructor_config, unknown_arguments
from fovea.keras.layers.building import as_shape
from fovea.keras.layers.context import context
from fovea.keras.layers.losses import Losses, with_losses
from fovea.keras.layers.spec import check_input
from fovea.keras.layers.tracking import follow_mode, tracked
from fovea.keras.naming import auto_name
from fovea.keras.objects import serialize_keras_object
from fovea.keras.tree import map_structure
from fovea.keras.variables import Variable
from fovea.tensor import Tensor
from fovea.tensorbase import is_tensor

__all__ = ["Layer", "as_shape"]

_TRAINING_ONLY = frozenset({"training"})


class Layer(Losses):
    """Base of Keras layers. A subclass gives ``call``, and ``build`` if it has weights.

    It is a ``fovea.nn.Module``: it may hold other modules and be held by them.

    Args:
        activity_regularizer: a penalty on the output, added to the loss.
        trainable: whether the weights are learned.
        dtype: of weights and computation, or a ``DTypePolicy`` (or its name) that tells them
            apart; default: the global policy.
        autocast: cast floating-point inputs, and weights while they are used, to the dtype of
            computation.
        name: made up from the class unless given.

    Raises:
        ArgumentError: an unknown argument; names the nearest known one.

    >>> import fovea
    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones")
    ...     def call(self, x):
    ...         return x * self.factor
    >>> Scale()(fovea.tensor([[1.0, 2.0]])).detach()
    tensor([[1., 2.]])
    """

    keras_module: ClassVar[str] = "keras.layers"
    takes_integers: ClassVar[bool] = False  # else integer inputs are cast to the layer's dtype
    casts_weights: ClassVar[bool] = True  # else ``call`` takes them in float32 as they are
    keeps_masks: ClassVar[bool] = False  # what ``supports_masking`` is at first
    warns_of_masks: ClassVar[bool] = True  # else a mask may end here without a word
    is_operation: ClassVar[bool] = False  # a call of a function of ``keras.ops``
    _recomputing: Any = None  # the `RematScope` that it was made in
    training: Any
    built: bool
    _takes_training: ClassVar[bool] = False
    _training_default: ClassVar[Any] = None
    _makes_masks: ClassVar[bool] = False  # whether ``compute_mask`` is more than the base's
    _says_shapes: ClassVar[bool] = False  # whether there is a ``compute_output_shape`` of its own

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._makes_masks = cls.compute_mask is not Layer.compute_mask
        cls._says_shapes = not hasattr(cls.compute_output_shape, "finds_by_running")
        if "call" in cls.__dict__:
            parameters = inspect.signature(cls.call).parameters
            cls._call_arguments = tuple(parameters)[1:]
            cls._takes_training = "training" in parameters
            default = parameters["training"].default if cls._takes_training else None
            cls._training_default = default if isinstance(default, bool) else None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        made.__dict__["_init_arguments"] = (args, kwargs)
        return made

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        own = self.__dict__
        own["training"] = None  # neither train() nor eval() was called: calls are inference
        own["_trainable"] = bool(trainable)
        own["_provisional"], own["_losses"] = {}, []
        own["_inbound_nodes"], own["_build_shapes"] = [], None
        own["built"], own["autocast"], own["input_spec"] = False, autocast, None
        own["supports_masking"] = self.keeps_masks or self._makes_masks
        self._follow(dtype_policies.get(dtype))
        own["name"], own["_auto_named"] = self._checked_name(name), name is None
        own["_first_shape"] = self._first_input_shape(kwargs)
        scope = recomputing.current_scope()
        if scope is not None:
            own["_recomputing"] = scope
        own["activity_regularizer"] = regularizers.get(activity_regularizer)
        if kwargs:
            raise unknown_arguments(self, kwargs)

    def _follow(self, policy: DTypePolicy) -> None:
        """Compute in a policy's dtype, and keep weights in its other one."""
        own = self.__dict__
        own["_policy"], own["_dtype"] = policy, config.as_dtype(policy.compute_dtype)
        own["_variable_dtype"] = config.as_dtype(policy.variable_dtype)
        differ = own["_dtype"] is not own["_variable_dtype"]
        own["_mixed"] = differ and own["autocast"] and self.casts_weights

    def _checked_name(self, name: Any) -> str:
        if name is None:
            return auto_name(self._name_prefix())
        if not isinstance(name, str) or "/" in name:
            raise ArgumentError(
                f"{type(self).__name__}: a name is a string without '/', got {name!r}."
            )
        return name

    def _name_prefix(self) -> str:
        return type(self).__name__

    @staticmethod
    def _first_input_shape(kwargs: dict[str, Any]) -> tuple[int | None, ...] | None:
        """The shape that ``input_shape=`` and its kin give, with the batch's size in front."""
        batch = kwargs.pop("batch_size", None)
        if kwargs.get("batch_input_shape") is not None:
            return tuple(kwargs.pop("batch_input_shape"))
        if kwargs.get("batch_shape") is not None:
            return tuple(kwargs.pop("batch_shape"))
        if kwargs.get("input_shape") is not None:
            shape = kwargs.pop("input_shape")
            return (batch, *((shape,) if isinstance(shape, int) else shape))
        if kwargs.get("input_dim") is not None:
            return (batch, int(kwargs.pop("input_dim")))
        return None

    # -- attributes ---------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Variable):
            if "_provisional" in self.__dict__ and self._claim(name, value):
                return
            if not value._requires_grad and "_buffers" in self.__dict__:
                self._forget(name, "_buffers")
                self.register_buffer(name, value)
                return
        prop = getattr(type(self), name, None)
        if isinstance(prop, property) and prop.fset is not None:
            object.__setattr__(self, name, value)
            return
        if isinstance(value, list | tuple | dict):
            # The list itself is the attribute; the modules in it are registered under its name.
            self.__dict__[name] = tracked(self, name, value)
            return
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        casts = context.casts
        if casts is not None and casts[0] is self and name in casts[1]:
            return casts[1][name]
        if name in ("input", "output") and "_inbound_nodes" in self.__dict__:
            count = len(self._inbound_nodes)
            raise AttributeError(
                f"{self.name} has no single {name}: it was called {count} times in a graph."
            )
        return super().__getattr__(name)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__["_provisional"] = {}

    @property
    def dtype(self) -> str:
        """The name of the dtype of weights."""
        return str(self._variable_dtype.name)

    variable_dtype = dtype

    @property
    def compute_dtype(self) -> str:
        """The name of the dtype that inputs are cast to and outputs have."""
        return str(self._dtype.name)

    input_dtype = compute_dtype

    @property
    def dtype_policy(self) -> DTypePolicy:
        """Both dtypes; a policy, or its name, may be set."""
        policy: DTypePolicy = self._policy
        return policy

    @dtype_policy.setter
    def dtype_policy(self, value: Any) -> None:
        self._follow(dtype_policies.get(value))
        watching.touch()

    @property
    def path(self) -> str:
        """The layer's name."""
        return self.name

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        now = fn(creation.zeros((1,), dtype=self._variable_dtype)).dtype
        if now is not self._variable_dtype:  # to(dtype): compute as the weights are kept
            self._follow(DTypePolicy(now.name))
            watching.touch()
        return self

    # -- what subclasses give -----------------------------------------------------------------

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every subclass defines it."""
        raise ArgumentError(f"{type(self).__name__} defines no call(self, x).")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """``call``, under the name that modules use."""
        if self._recomputing is not None:
            return recomputing.called(self, args, kwargs)
        return self.call(*args, **kwargs)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        """The output's shape for an input of this shape, found by running ``call`` on zeros."""
        from fovea.keras.layers.probing import probed_shapes

        return probed_shapes(self, input_shape)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """The output as symbolic tensors, for symbolic inputs."""
        if not self._says_shapes:
            from fovea.keras.layers.probing import probed_outputs

            return probed_outputs(self, args, kwargs)
        shapes = self.compute_output_shape(**self._shapes_for("compute_output_shape", args, kwargs))
        return _symbols(shapes, self.output_dtype(args[0] if args else next(iter(kwargs.values()))))

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The mask of the output, given that of the input: the same, unless a layer overrides it.
        It is asked for where ``supports_masking`` is true.
        """
        return previous_mask

    compute_output_shape.finds_by_running = True  # type: ignore[attr-defined]

    def output_dtype(self, x: Any) -> str:
        """The name of the output's dtype for an input."""
        return self.compute_dtype

    # -- calling ------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            quick = (
                len(args) == 1
                and args[0].__class__ is Tensor
                and args[0].dtype is self._dtype
                and self.built
                and (not kwargs or kwargs.keys() == _TRAINING_ONLY)
            )
            if not quick:
                if any_symbolic(args, kwargs):
                    return self.symbolic_call(*args, **kwargs)
                args = map_structure(self._as_input, args)
                kwargs = map_structure(self._as_input, kwargs)
                self._build_for(args, kwargs)
            if self.input_spec is not None and args and is_tensor(args[0]):
                check_input(self, self.input_spec, args[0].shape)
            if watching.watcher is not None:
                return watching.watcher.call_module(self, args, kwargs)
            return self._call(args, kwargs)
        except FoveaError as error:
            note_path(error, self)
            raise

    def stateless_call(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Call the layer with other values in its variables, which stay as they are.

        Args:
            trainable_variables, non_trainable_variables: tensors, one for each of the layer's
                variables in these lists.
            args, kwargs: of the call.
            return_losses: whether the losses of the call are returned, too.

        Returns:
            ``(outputs, non_trainable_variables)``, the variables as the call leaves them (moving
            averages, for example); with ``return_losses`` also the list of losses. Random draws
            go on from the layers' generators, which are not among the variables.

        Raises:
            ArgumentError: the layer is not built, or another number of tensors.
            ShapeError: a tensor of another shape.

        >>> import fovea
        >>> from fovea.keras.layers import Dense
        >>> dense = Dense(2)
        >>> dense.build((None, 3))
        >>> values = [fovea.ones(3, 2), fovea.zeros(2)]
        >>> dense.stateless_call(values, [], fovea.ones(1, 3))
        (tensor([[3., 3.]]), [])
        """
        from fovea.keras.stateless import stateless_call

        given = list(trainable_variables), list(non_trainable_variables)
        return stateless_call(self, *given, args, kwargs, return_losses)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The rest of a call, once arguments are tensors and weights are made."""
        if masking.seen or self._makes_masks or "mask" in kwargs:
            return masking.call_with_masks(self, args, kwargs)
        return self._run(args, kwargs)

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """``call`` with hooks, within the context that tells inner layers of ``training``."""
        outer = context.training
        if outer is None and with_losses and standins.current() is None:
            self._clear_losses()
        training = kwargs.pop("training", None) if kwargs else None
        if training is None:
            training = outer
        if training is None:
            training = self.training if self.training is not None else self._training_default
        training = bool(training)
        if self._takes_training:
            kwargs["training"] = training
        if self._modules:
            follow_mode(self, training)
        run = self._with_cast_weights if self._mixed else self._with_hooks
        if training is outer or not self._modules:
            result = run(args, kwargs)
        else:
            context.training = training
            try:
                result = run(args, kwargs)
            finally:
                context.training = outer
        if self.activity_regularizer is not None:
            self._penalize(result)
        return result

    def _with_cast_weights(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same, while weights are seen in the dtype of computation."""
        return self.with_cast_weights(self._with_hooks, args, kwargs)

    def with_cast_weights(self, f: Any, *args: Any) -> Any:
        """``f(*args)``, while the layer's own weights are seen in the dtype of computation."""
        if not self._mixed:
            return f(*args)
        outer, dtype = context.casts, self._dtype
        casts = {
            name: p.to(dtype)
            for name, p in self._parameters.items()
            if p is not None and p.dtype.is_floating_point
        }
        context.casts = (self, casts)
        try:
            return f(*args)
        finally:
            context.casts = outer

    @property
    def used_weights(self) -> Any:
        """The layer's own trainable weights by name, in the dtype of computation during a call."""
        casts = context.casts
        return casts[1] if casts is not None and casts[0] is self else self._parameters

    def _with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if (
            self._forward_hooks
            or self._forward_pre_hooks
            or self._backward_hooks
            or self._backward_pre_hooks
        ):
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs) if self._recomputing else self.call(*args, **kwargs)

    def _as_input(self, value: Any) -> Any:
        """Arrays as tensors; numbers in the layer's dtype."""
        if isinstance(value, np.ndarray):
            value = as_tensor(value)
        if not is_tensor(value) or isinstance(value, Variable):
            return value
        if value.dtype.is_floating_point:
            cast = self.autocast and value.dtype is not self._dtype
        else:
            cast = not self.takes_integers and value.dtype is not dtypes.bool_
        if not cast:
            return value
        mask, value = masking.mask_of(value), value.to(self._dtype)
        if mask is not None:
            masking.attach_mask(value, mask)
        return value

    # -- graphs -------------------------------------------------------------------------------

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """Join a graph: the output as symbolic tensors."""
        self._build_for(args, kwargs)
        if self.input_spec is not None and args and isinstance(args[0], KerasTensor):
            check_input(self, self.input_spec, args[0].shape)
        outputs = self.compute_output_spec(*args, **kwargs)
        Node(self, args, kwargs, outputs)
        return outputs

    @property
    def _only_node(self) -> Node:
        if len(self._inbound_nodes) != 1:
            raise AttributeError("input and output are those of a single call")
        node: Node = self._inbound_nodes[0]
        return node

    @property
    def input(self) -> Any:
        """The symbolic input of the layer's only call; AttributeError if there are none or more."""
        tensors = self._only_node.input_tensors
        return tensors[0] if len(tensors) == 1 else tensors

    @property
    def output(self) -> Any:
        """The symbolic output of the layer's only call."""
        return self._only_node.outputs

    # -- writing down -------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The arguments to make another one with, as plain data."""
        base: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
        base["dtype"] = dtype_policies.serialize(self.dtype_policy)
        if self.activity_regularizer is not None:
            base["activity_regularizer"] = serialize_keras_object(self.activity_regularizer)
        return {**base, **constructor_config(self)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """One with these arguments."""
        return cls(**config)

    def extra_repr(self) -> str:
        return f"name={self.name}, built={self.built}"


def _symbols(shapes: Any, dtype: str) -> Any:
    """Symbolic tensors for a structure of shapes."""
    if is_shape(shapes):
        return KerasTensor(shapes, dtype)
    if isinstance(shapes, dict):
        return {key: _symbols(shape, dtype) for key, shape in shapes.items()}
    return type(shapes)(_symbols(shape, dtype) for shape in shapes)


def as_tensor(array: Any) -> Tensor:
    """An array as a tensor: floats in ``floatx()``, unsigned integers as signed ones."""
    array = np.asarray(array)
    if array.dtype.kind == "f":
        wanted: Any = config.as_dtype(None)
    elif array.dtype.kind == "u" and array.dtype != np.uint8:
        wanted = dtypes.int64
    else:
        wanted = None
    return creation.from_array(array, wanted)


def note_path(error: FoveaError, layer: Any) -> None:
    """Add a layer's name to an error that passes through it."""
    inner = getattr(error, "module", None)
    if inner is layer:
        return
    if inner is not None and not isinstance(inner, Layer):
        for name, candidate in layer.named_modules():
            if candidate is inner:
                error.enter(name)
                break
    error.enter(layer.name)
    error.module = layer  # type: ignore[attr-defined]
