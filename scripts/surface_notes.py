"""What docs/surface.md says of PyTorch's names: one entry a section; see `scripts/surface.py`."""

from __future__ import annotations

from typing import Any

_LAZY = "conjugation is never put off"
_QUANTIZED = "PyTorch's old quantized tensors"
_SPARSE = "fovea has no sparse tensors"
_INSIDE = "PyTorch's own inside: engines, scripts, symbols, twins for graphs"
_REMOVED = "PyTorch itself refuses or advises against them"
_OLD = "PyTorch keeps them for very old programs"
_IMPORTED = "what its source imports"
_PIPES = "data pipes, which PyTorch no longer develops"
_RECURRENT = "recurrent networks"

_RANDOM = "draws other numbers than PyTorch from the same seed (Philox; the same for any number of threads)"
_DIFFER_TORCH = {
    **dict.fromkeys(
        ("rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "dropout"),
        _RANDOM,
    ),
    "as_strided": "not recorded for backward",
    "det": "its gradient is right for singular matrices, too",
    "sort": "always stable",
    "argsort": "always stable",
    "compile": "captures by running once; see docs/compile.md",
    "load": "reads files without running code from them",
    "set_default_device": "takes the CPU only: eager tensors live there",
    "set_float32_matmul_precision": "accepted; products of float32 are always computed in float32",
    "use_deterministic_algorithms": "accepted; results never depend on the number of threads",
    **dict.fromkeys(("real", "imag", "view_as_real", "view_as_complex"), "a copy, not a view"),
    **dict.fromkeys(("conj", "resolve_conj", "resolve_neg"), "conjugation is never put off"),
}

_UNUSED = "vision does not use them"
_BACKENDS = "for other backends"
KERAS: dict[str, dict[str, Any]] = {
    "layers": {
        "types": True,
        "differ": {
            "MelSpectrogram": "symbolic shapes are those of the results; Keras's can be one window longer",
            "STFTSpectrogram": "takes integers, as floats; Keras's raises",
            "RandomContrast": "one factor f is from 1 - f to 1 + f, as its documentation says; in Keras from 1",
            "RandomCrop": "what is too small keeps the ratio of sides, and inference cuts the middle out, as documented; "
            "bounding boxes follow the pixels",
            "RandomSaturation": "saturation stays below 1",
            **dict.fromkeys(
                ("AveragePooling1D", "AveragePooling2D", "AveragePooling3D"),
                "where `same` pads unevenly, means are over what is there, as in TensorFlow and JAX",
            ),
            **dict.fromkeys(("LSTM", "GRU"), "`use_cudnn=True` is refused"),
            "SeparableConv1D": "`causal` padding works",
            "CategoryEncoding": "classes that do not exist are an error, as documented",
            "StringLookup": "without TensorFlow; words are Python's and NumPy's; `invert` gives an array of text",
            **dict.fromkeys(
                ("IntegerLookup", "TextVectorization", "Hashing", "HashedCrossing"),
                "without TensorFlow",
            ),
            **dict.fromkeys(
                (
                    "RandomFlip",
                    "RandomRotation",
                    "RandomZoom",
                    "RandomShear",
                    "MixUp",
                    "RandomPerspective",
                ),
                "bounding boxes follow the pixels; Keras's do not in all formats, and lie up to a pixel beside",
            ),
            "ContrastLimitedAdaptiveHistogramEqualization": "edges are mirrored and limits are not whole numbers, as "
            "documented; Keras's on PyTorch repeats the last row and rounds down",
        },
        "absent": {_BACKENDS: "FlaxLayer JaxLayer TFSMLayer"},
    },
    "applications": {},
    "losses": {"types": True},
    "metrics": {"types": True},
    "optimizers": {
        "types": True,
        "differ": {
            "ScheduleFreeAdamW": "is the paper's; Keras's own on PyTorch takes z after the step"
        },
    },
    "optimizers.schedules": {"types": True},
    "callbacks": {
        "types": True,
        "differ": {"TensorBoard": "profile_batch and embeddings are accepted and left out"},
        "absent": {_BACKENDS: "OrbaxCheckpoint"},
    },
    "initializers": {"types": True},
    "regularizers": {"types": True},
    "constraints": {"types": True},
    "activations": {},
    "ops": {
        "differ": {
            "argpartition": "sorts all",
            "pad": "one number pads every axis, as NumPy's; Keras's on PyTorch the last one; `edge` and `wrap` work",
            **dict.fromkeys(
                ("linspace", "logspace", "geomspace"), "between tensors, too, along any axis"
            ),
            **dict.fromkeys(("top_k", "unique"), "places and counts are int32, as Keras documents"),
            "cross": "is NumPy's; Keras's on PyTorch is not",
            "lu_factor": "takes singular matrices, too; Keras's on PyTorch raises",
            "nonzero": "a tuple, an index for each axis, as NumPy's",
            "space_to_depth": "channels first, too, it is the inverse of depth_to_space",
            "sparsemax": "is the paper's; Keras's on PyTorch does not sum to one",
            "take": "-1 is the last of all elements, as NumPy's; not so in Keras on PyTorch",
        },
    },
    "ops.linalg": {
        "differ": {"lu_factor": "takes singular matrices, too; Keras's on PyTorch raises"}
    },
    **{f"ops.{part}": {} for part in ("nn", "numpy")},
    "ops.image": {
        "differ": {
            "map_coordinates": "between integers, the sum is rounded; Keras on PyTorch adds rounded parts",
            "gaussian_blur": "kernels that are not square are not mixed up",
            "ssim": "of integers, too, a float",
        },
    },
    "utils": {
        "absent": {_UNUSED: "audio_dataset_from_directory text_dataset_from_directory"},
    },
    "utils.bounding_boxes": {},
    "preprocessing.image": {"differ": {"smart_resize": "without Lanczos's interpolation"}},
    "random": {"types": True},
    "tree": {},
    "distillation": {
        "types": True,
        "differ": {
            "LogitsDistillation": "`kl_divergence` by its name, too, is of probabilities, as documented; Keras's of logits"
        },
    },
}

SECTIONS: list[dict[str, Any]] = [
    {
        "title": "torch",
        "peer": "torch",
        "ours": "fovea",
        "differ": _DIFFER_TORCH,
        "absent": {
            _LAZY: "is_conj is_neg view_as_real_copy view_as_complex_copy",
            _QUANTIZED: "*quantize *quantized quantize* quantized* fake_quantize* q_* dequantize int_repr "
            "choose_qparams_optimized fbgemm_* fused_moving_avg_obs_fake_quant empty_quantized",
            _SPARSE: "sparse_* *_sparse_ dsmm hsmm hspmm smm spmm saddmm sspaddmm ccol_indices_copy "
            "col_indices_copy crow_indices_copy row_indices_copy indices_copy values_copy",
            _RECURRENT: "gru* lstm* rnn_*",
            _REMOVED: "lstsq solve eig symeig matrix_rank orgqr ormqr geqrf "
            "norm_except_dim nuclear_norm frobenius_norm "
            "get_autocast_* set_autocast_* is_autocast_* autocast_*",
            "they stand in `fovea.nn.functional`, as in PyTorch's documentation": "*_loss kl_div rms_norm "
            "embedding_bag constant_pad_nd affine_grid_generator grid_sampler* feature_* convolution conv_tbc "
            "max_pool1d_with_indices",
            _UNUSED: "lobpcg pca_lowrank svd_lowrank histogramdd segment_reduce from_file",
            "views of a tensor do not change in place": "as_strided_ as_strided_scatter",
            "`F.dropout` and its kin take `inplace=True`": "dropout_ alpha_dropout_",
            _INSIDE: "cudnn_* mkldnn_* miopen_* *_copy native_* batch_norm_* sym_* parse_* import_ir_* merge_* unify_* "
            "unsafe_* thread_safe_generator wait fork while_loop cond classproperty compiled_with_* "
            "init_num_threads prepare_multiprocessing_environment profiler_* get_file_path get_device_module "
            "is_vulkan_available slice_inverse hash_tensor embedding_renorm_ is_storage is_distributed "
            "set_warn_always is_warn_always_enabled *_debug_mode",
        },
    },
    {
        "title": "torch.Tensor",
        "peer": "torch:Tensor",
        "ours": "fovea:Tensor",
        "differ": {
            "cuda": "raises: there is no CUDA device",
            "imag": "a copy, not a view",
            "real": "a copy, not a view",
            "view": "copies where PyTorch's would refuse the strides",
            "layout": 'the string `"strided"`',
            "storage": "an attribute, fovea's own block of memory",
        },
        "absent": {
            "an attribute that only instances have in fovea": "grad_dtype name volatile",
            "half-precision complex numbers": "chalf",
            _QUANTIZED: "q_* qscheme dequantize int_repr",
            _SPARSE: "*_indices indices values coalesce is_coalesced dense_dim sparse_* to_sparse* to_mkldnn smm "
            "sspaddmm resize_as_sparse_",
            _REMOVED: "lstsq solve eig symeig orgqr ormqr geqrf resize resize_as "
            "new reinforce storage_type",
            "views of a tensor do not change in place": "as_strided_ as_strided_scatter set_",
            _INSIDE: "is_ipu is_maia is_mkldnn is_mtia is_vulkan ipu mtia xpu record_stream unsafe_* slice_inverse "
            "hash_tensor map2_ module_load is_distributed const_data_ptr index as_subclass to_padded_tensor",
        },
    },
    {
        "title": "torch.linalg",
        "peer": "torch.linalg",
        "ours": "fovea.linalg",
        "differ": {
            "lstsq": "by the pseudo-inverse, whatever the driver",
            "cholesky_ex": "a matrix that is not positive definite has the identity as its factor",
            "inv_ex": "a singular matrix has NaN as its inverse",
            "solve_ex": "a system with a singular matrix has NaN as its solution",
            "svd": "NaN for matrices that are not finite; `full_matrices` has gradients of what the first vectors say",
        },
        "absent": {"NumPy's LAPACK does not offer them": "ldl_*"},
    },
    {
        "title": "torch.fft",
        "peer": "torch.fft",
        "ours": "fovea.fft",
    },
    {
        "title": "torch.special",
        "peer": "torch.special",
        "ours": "fovea.special",
        "absent": {_UNUSED: "zeta airy_ai bessel_* modified_* scaled_* spherical_* "
                   "chebyshev_* hermite_* laguerre_* legendre_* shifted_*"},
    },
    {
        "title": "torch.nn",
        "peer": "torch.nn",
        "ours": "fovea.nn",
        "types": True,
        "differ": {
            **dict.fromkeys(("Embedding", "EmbeddingBag"), "`sparse=True` is accepted; gradients are dense"),
            "SyncBatchNorm": "the statistics are those of this process",
            "CrossMapLRN2d": "windows move on; in PyTorch's the first channel stays in all later sums",
            "DataParallel": "calls the module: there is one device",
            "LinearCrossEntropyLoss": "in pieces, its outputs are computed again in backward",
        },
        "absent": {_OLD: "Container"},
    },
    {
        "title": "torch.nn.functional",
        "peer": "torch.nn.functional",
        "ours": "fovea.nn.functional",
        "differ": {
            "embedding": "`sparse=True` is accepted; gradients are dense",
            "embedding_bag": "`sparse=True` is accepted; `scale_grad_by_freq` does what is documented",
            **dict.fromkeys(
                (
                    "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout",
                    "feature_alpha_dropout", "gumbel_softmax", "rrelu", "rrelu_",
                ),
                _RANDOM,
            ),
        },
        "absent": {
            _IMPORTED: "Optional",
            _INSIDE: "assert_int_or_pair boolean_dispatch handle_torch_function has_torch_function* grouped_mm "
            "scaled_grouped_mm scaled_mm",
        },
    },
    {
        "title": "torch.nn.utils",
        "peer": "torch.nn.utils",
        "ours": "fovea.nn.utils",
        "differ": {
            "weight_norm": "the weight is computed whenever it is read, not before each call",
            "spectral_norm": "the weight is computed whenever it is read; a call in training iterates first",
            **dict.fromkeys(
                ("convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"),
                "accepted; the engine chooses layouts",
            ),
        },
    },
    {
        "title": "torch.nn.utils.parametrize",
        "peer": "torch.nn.utils.parametrize",
        "ours": "fovea.nn.utils.parametrize",
        "differ": {"register_parametrization": "such modules can be copied and pickled"},
        "absent": {_IMPORTED: "contextmanager deepcopy get_swap_module_params_on_conversion "
                   "is_opaque_reference_type is_traceable_wrapper_subclass"},
    },
    {
        "title": "torch.nn.utils.parametrizations",
        "peer": "torch.nn.utils.parametrizations",
        "ours": "fovea.nn.utils.parametrizations",
    },
    {
        "title": "torch.nn.utils.prune",
        "peer": "torch.nn.utils.prune",
        "ours": "fovea.nn.utils.prune",
        "differ": {"remove": "there is no hook to be removed: weights are masked whenever they are read"},
        "absent": {_IMPORTED: "abstractmethod"},
    },
    {
        "title": "torch.nn.utils.rnn",
        "peer": "torch.nn.utils.rnn",
        "ours": "fovea.nn.utils.rnn",
        "absent": {_IMPORTED: "Self bind copy_method_params"},
    },
    {
        "title": "torch.nn.init",
        "peer": "torch.nn.init",
        "ours": "fovea.nn.init",
        "absent": {_IMPORTED: "Literal"},
    },
    {
        "title": "torch.utils.data",
        "peer": "torch.utils.data",
        "ours": "fovea.utils.data",
        "types": True,
        "differ": {
            "DataLoader": 'workers are threads unless `worker_type="process"`; the same seeds give the same batches for any number of them',
            "DistributedSampler": "rank and number of processes from the environment, or one process",
        },
        "absent": {_PIPES: "DFIterDataPipe DataChunk IterDataPipe MapDataPipe functional_datapipe "
                   "guaranteed_datapipes_determinism non_deterministic runtime_validation_disabled"},
    },
    {
        "title": "torch.optim",
        "peer": "torch.optim",
        "ours": "fovea.optim",
        "types": True,
        "differ": {
            "Muon": "iterates in the parameters' dtype; PyTorch in bfloat16",
            "LBFGS": "reads losses: compiled steps run eagerly",
        },
        "absent": {_SPARSE: "SparseAdam"},
    },
    {
        "title": "torch.optim.lr_scheduler",
        "peer": "torch.optim.lr_scheduler",
        "ours": "fovea.optim.lr_scheduler",
        "types": True,
        "absent": {_IMPORTED: "Any Counter Optimizer SupportsFloat Tensor partial ref"},
    },
    {
        "title": "torch.optim.swa_utils",
        "peer": "torch.optim.swa_utils",
        "ours": "fovea.optim.swa_utils",
        "absent": {_IMPORTED: "cast deepcopy override Literal"},
    },
    {
        "title": "torch.hub",
        "peer": "torch.hub",
        "ours": "fovea.hub",
        "differ": {
            "download_url_to_file": "a transfer that broke off is continued if there is a digest",
            "load_state_dict_from_url": "only plain data is read; check_hash checks a file in the cache, too",
        },
        "absent": {
            "they run code from the network": "help list load",
            _IMPORTED: "urlopen urlparse",
        },
    },
    {
        "title": "torch.autograd",
        "peer": "torch.autograd",
        "ours": "fovea.autograd",
        "absent": {_INSIDE: "has_torch_function handle_torch_function is_tensor_like is_view_replay_enabled "
                   "is_multithreading_enabled kineto_available variable cast overload"},
    },
    {
        "title": "torch.autograd.functional",
        "peer": "torch.autograd.functional",
        "ours": "fovea.autograd.functional",
        "differ": {
            "jacobian": 'strategy="forward-mode" also without vectorize, and with create_graph',
            "jvp": "two backward passes, as in PyTorch's",
        },
    },
    {
        "title": "torch.autograd.forward_ad",
        "peer": "torch.autograd.forward_ad",
        "ours": "fovea.autograd.forward_ad",
        "differ": {"make_dual": "the dual is on a tape: requires_grad is True, and what runs under no_grad has no tangent"},
    },
    {
        "title": "torch.func",
        "peer": "torch.func",
        "ours": "fovea.func",
        "differ": {
            "vmap": "a Function needs no rule of its own, and `x[mask] = number` works",
            "jvp": "two backward passes: the product with a vector is the gradient of that of the other side",
            "jacfwd": "the function runs once, whatever randomness says; by rows where they are not more than columns",
            "grad": "aux and arguments that are not differentiated by may hold anything",
        },
        "absent": {_INSIDE: "debug_unwrap functionalize"},
    },
    {
        "title": "torch.distributions",
        "peer": "torch.distributions",
        "ours": "fovea.distributions",
        "types": True,
        "differ": {
            "ContinuousBernoulli": "from a uniform distribution beyond [0, 1] it is not infinitely far",
            "ExponentialFamily": "for one's own; the ready-made ones have formulas instead",
            "Wishart": "divergences are not summed over several; draws are not drawn again",
        },
    },
    *(
        {"title": f"keras.{name}", "peer": f"keras.{name}", "ours": f"fovea.keras.{name}", **more}
        for name, more in KERAS.items()
    ),
]  # fmt: skip
