"""Probes of pitot on a PyTorch training loop; attach_pytorch.py is a complete one.

    run = pitot.watch(net, "runs/a", optimizer="sgd")      keywords: the fields of pitot_config
    run.hvp(lambda: criterion(net(x), y))                  level 2: the loss of the current (micro-)batch, not scaled
    run.begin(step)                                        each step; 0: nothing will be read
    run.after_forward(len(x), loss)                        after each forward pass; keywords: fields of pitot_batch
    run.after_backward()                                   after each backward pass, before clipping
    run.after_update(lr)
    run.close()

Contracts are those of pitot/hooks.h. Weights, gradients, buffers and random state stay as they would be without probes. Per-sample
gradients are taken of Linear, Conv2d and LayerNorm; parameters that other modules hold, too, and all others, stay uncovered.
"""
import contextlib, copyreg, ctypes, functools, math, os, re, warnings
import torch
from torch.nn import Conv2d, LayerNorm, Linear, functional as F

ABI = 4  # PITOT_ABI of the structs below
DONE, FAILED, INTERRUPTED = range(3)
RESUME, CARRIED, COUPLED, UNCHECKED = 1, 2, 4, 8
MEAN, MEAN_TERMS, SUM = range(3)
LOSS, GRADS, LOSSES, CAPTURES, OUTPUT, CALLBACKS, PRECONDITIONER, UPDATE = (1 << k for k in range(8))
CROSS_ENTROPY, SQUARED_ERROR, MEAN_SQUARED_ERROR, HALF_SQUARED_ERROR, BINARY_CROSS_ENTROPY = range(1, 6)
KINDS, TIME_FIRST = {Linear: 1, Conv2d: 2, LayerNorm: 3}, 4
DTYPES = {torch.float32: 1, torch.float64: 2, torch.float16: 3, torch.bfloat16: 4}
FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
TYPES = dict(i=ctypes.c_int32, u=ctypes.c_uint32, l=ctypes.c_int64, k=ctypes.c_uint64, z=ctypes.c_size_t, d=ctypes.c_double,
             s=ctypes.c_char_p, p=ctypes.c_void_p, f=FUNCTION)


def struct(name, text):
    """struct_size, then what `text` says: "type field field[n], type field"."""
    fields = [("struct_size", ctypes.c_size_t)]
    for kind, names in (part.split(maxsplit=1) for part in text.split(",")):
        fields += [(field, TYPES[kind] * int(n) if n else TYPES[kind]) for field, n in re.findall(r"(\w+)(?:\[(\d)])?", names)]
    start = lambda self, **given: ctypes.Structure.__init__(self, ctypes.sizeof(self), **given)
    return type(name, (ctypes.Structure,), {"_fields_": fields, "__init__": start})


Config = struct("Config", "s probes options optimizer, d overhead, l memory, k seed, d grad_scale, i flags threads, l steps, s facts, "
                          "i reduction reserved")
Param = struct("Param", "s name, p data grad data_at grad_at, l shape[5], i group stack, l stride[5] stack_stride, i dtype grad_dtype")
Batch = struct("Batch", "l n, d loss, p losses, l t, d loss_scale, p weight ids output target, l c c_stride, i loss_kind more")
Capture = struct("Capture", "i kind flags weight bias, p A G, i a_dtype g_dtype, l n t h w, i stride[2] padding[2] dilation[2] groups "
                            "reserved, d scale")
Call = struct("Call", "i status last, l n, p v, l n_out, p out, d loss, p output, i in_out diagonal, "
              "l draws, k seed, i per_sample reserved, d gradients, p spectrum factor, l n_factors most_factors")
Callbacks = struct("Callbacks", "p user, f grad hvp forward jvp vjp hessian_root diagonal ggn_spectrum, i untouched reserved")
Probe = struct("Probe", "i abi")  # its beginning
CALLS = dict(open="psp", close="ipi", add_param="ipp", bind_param="ipipp", begin="upl", due="up", after_forward="ipp",  # result first
             add_capture="ipp", after_backward="ip", after_update="ipd", set_callbacks="ipp", add_guard="ipspl", scalar="ipsd",
             value="ipspp", report="lppz", last_error="sp", probes="p")


def load():
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", "libpitot.so")
    path = os.environ.get("PITOT_LIBRARY") or (beside if os.path.exists(beside) else "libpitot.so")
    try:
        lib = ctypes.CDLL(path)
        lib.pitot_open = getattr(lib, {4: "pitot_open", 8: "pitot_open_double"}[lib.pitot_real_size()])
        for name, kinds in CALLS.items():
            function = getattr(lib, "pitot_" + name)
            function.restype, *function.argtypes = map(TYPES.get, kinds)
        abi = ctypes.cast(lib.pitot_probes(), ctypes.POINTER(ctypes.POINTER(Probe)))[0][0].abi
        if abi != ABI:
            raise OSError("%s has ABI %d" % (path, abi))
    except (OSError, AttributeError, KeyError) as e:
        raise ImportError("pitot: no library of ABI %d: %s; build it with make, or set PITOT_LIBRARY to its path" % (ABI, e)) from e
    return lib


lib = load()
REAL, C_REAL = {4: (torch.float32, ctypes.c_float), 8: (torch.float64, ctypes.c_double)}[lib.pitot_real_size()]


def geometry(layer):
    """The constant fields of a layer's captures; None: it stays uncovered."""
    if type(layer) is not Conv2d:
        return dict(kind=KINDS[type(layer)]) if type(layer) in KINDS else None
    extent = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size)]
    if layer.padding_mode != "zeros" or (layer.padding == "same" and any(e % 2 for e in extent)):
        return None
    padding = {"same": tuple(e // 2 for e in extent), "valid": (0, 0)}.get(layer.padding, layer.padding)
    return dict(kind=KINDS[Conv2d], stride=layer.stride, padding=padding, dilation=layer.dilation, groups=layer.groups)


def laid_out(tensor, like):
    """The tensor, or a copy of it, on the CPU with the strides of `like`."""
    tensor = tensor.detach().to_dense() if tensor.is_sparse else tensor.detach()
    if tensor.device.type == "cpu" and tensor.stride() == like.stride():
        return tensor
    return torch.empty_strided(like.shape, like.stride(), dtype=tensor.dtype).copy_(tensor)


def random_state():
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


class Run:
    """Probes on all parameters of net, logged in folder dir (None: nowhere). time_first: layers see (t,n,d)."""
    _run = _error = None  # closed, as it is in copies of the net
    due = _fresh = 0

    def __init__(self, net, dir=None, time_first=False, **config):
        coupled = any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in net.modules())
        config["flags"] = config.get("flags", 0) | (COUPLED if coupled else 0)
        config = {k: v.encode() if isinstance(v, str) else v for k, v in config.items()}
        self._run = lib.pitot_open(os.fsencode(dir) if dir else None, ctypes.byref(Config(**config)))
        self._net, self._time_first, self._carried, self._said, self._more = net, time_first, config["flags"] & CARRIED, "", False
        self._random, self._kept, self._functions, self._ever = random_state(), [], {}, []
        self._ids, self._where, self._layers, self._hooks = {}, {}, {}, [net.register_forward_pre_hook(self._enters)]
        self._names = {p: re.sub(r'[/"\\#]', "_", name).encode() for name, p in net.named_parameters()
                       if p.dtype in DTYPES and p.dim() <= 5 and p.numel()}
        self._bind()
        self._guarded = {n: b for n, b in net.named_buffers() if b.device.type == "cpu" and b.is_contiguous() and b.numel()}
        for name, b in self._guarded.items():
            lib.pitot_add_guard(self._run, name.encode(), b.data_ptr(), b.numel() * b.element_size())
        known = {m: geometry(m) for m in net.modules()}
        elsewhere = {p for m, g in known.items() if not g for p in m.parameters(recurse=False)}
        for m, g in known.items():
            own = dict(m.named_parameters(recurse=False))
            if g and own and all(p in self._data and p not in elsewhere for p in own.values()):
                self._layers[m] = Capture(weight=self._ids.get(own.get("weight"), 0), bias=self._ids.get(own.get("bias"), 0), **g)
                self._hooks.append(m.register_forward_hook(self._applied))
        if self.last_error():
            warnings.warn("pitot: " + self.last_error())

    def __reduce__(self):
        return copyreg.__newobj__, (Run,)

    def _bind(self):
        """Tells pitot where parameters and gradients are, if that has changed."""
        self.params, self._data, self._grads = [], {}, {}
        for p, name in self._names.items():
            data = laid_out(p, p if all(p.stride()) else p.contiguous())
            where = dict(data=data.data_ptr(), stride=data.stride() or (1,), dtype=DTYPES[data.dtype])
            if p.grad is not None:
                grad = self._grads[p] = laid_out(p.grad, data)
                where.update(grad=grad.data_ptr(), grad_dtype=DTYPES[grad.dtype])
            if self._where.get(p) != where:
                self._ids[p] = lib.pitot_add_param(self._run, ctypes.byref(Param(name=name, shape=tuple(p.shape) or (1,), **where)))
            self._where[p] = where
            if self._ids[p] > 0:
                self._data[p] = data
                self.params += [] if p.grad is None else [p]

    def _enters(self, net, inputs):
        if self._fresh and lib.pitot_due(self._run) & CALLBACKS:
            self._fresh, self._random = 0, random_state()

    def _applied(self, layer, inputs, output):
        if lib.pitot_due(self._run) & CAPTURES and inputs and output.requires_grad and layer in self._layers:
            output.register_hook(functools.partial(self._returned, layer, inputs[0].detach().to(output.dtype)))  # as autocast does

    def _returned(self, layer, a, g):
        c, lead = self._layers[layer], a.shape[:a.dim() - layer.weight.dim() + (type(layer) is not LayerNorm)]
        c.flags, c.n = (TIME_FIRST, lead[1]) if self._time_first and len(lead) == 2 else (0, lead[0] if lead else 1)
        c.t = math.prod(lead) // max(c.n, 1)
        if type(layer) is Conv2d:
            c.h, c.w = a.shape[-2:]
        if type(layer) is LayerNorm:
            a = F.layer_norm(a, layer.normalized_shape, eps=layer.eps)
        c.A, c.a_dtype, c.G, c.g_dtype = self.pointer(a, dtype=a.dtype), DTYPES[a.dtype], self.pointer(g, dtype=g.dtype), DTYPES[g.dtype]
        lib.pitot_add_capture(self._run, ctypes.byref(c))

    # ---- the hooks of a step ----

    def begin(self, step):
        if self._run and self._carried:
            self._bind()
        self.due, self._fresh = lib.pitot_begin(self._run, step), 1
        if self.due & CALLBACKS:
            self._random = random_state()
        return self.due

    def after_forward(self, n, loss, losses=None, output=None, target=None, loss_kind=0, more=False, t=1, weight=None, ids=None,
                      loss_scale=1.0):
        """Tensors of any type and device; output's last axis is c."""
        self._more = more
        if self.due:
            c = 0 if output is None else output.shape[-1]
            kind, count = (torch.int32, n * t) if loss_kind == CROSS_ENTROPY else (REAL, n * t * c)
            lib.pitot_after_forward(self._run, ctypes.byref(Batch(
                n=n, t=t, c=c, loss=float(loss), losses=self.pointer(losses, n * t), weight=self.pointer(weight, n * t),
                ids=self.pointer(ids, n, torch.int64), output=self.pointer(output, n * t * c), target=self.pointer(target, count, kind),
                loss_kind=loss_kind, loss_scale=loss_scale, more=more)))

    def after_backward(self):
        if self.due:
            self._bind()
            self._leave(lib.pitot_after_backward(self._run), self._more)

    def after_update(self, lr=0.0):
        if self.due:
            self._bind()
        self.due, status = 0, lib.pitot_after_update(self._run, lr)
        self._leave(status, True)

    def _leave(self, status, free):
        self._fresh = 1
        if free and self._run:
            self._kept.clear()
            self._grads, self._made = {}, {}
        error, self._error = self._error, None
        if error:
            raise error

    # ---- callbacks ----

    def callbacks(self, **functions):
        """grad, hvp, forward, jvp, vjp, hessian_root: function(call), call being a pitot_call. Each starts with the random state of the
        step's (last) forward pass and without gradients (CARRIED: with those there are); buffers, gradients and random state are put
        back. What it raises comes out of the hook that called it, and it is not called again."""
        if {"grad", "forward"} & set(functions) and any(p.device.type != "cpu" for p in self._names):
            raise ValueError("pitot: parameters on a GPU cannot be moved by small steps; offer hvp, jvp and vjp")
        self._functions.update((name, FUNCTION(functools.partial(self._answer, name, f))) for name, f in functions.items())
        self._ever += self._functions.values()  # C may hold those that are replaced
        lib.pitot_set_callbacks(self._run, ctypes.byref(Callbacks(**self._functions)))

    def hvp(self, loss_function):
        """Products with the Hessian of loss_function(), the unscaled loss of the current (micro-)batch, by differentiating twice."""
        def product(call):
            g = torch.autograd.grad(loss_function(), self.params, create_graph=True, allow_unused=True)
            v = self.split(self.flat(call.v, call.n))
            along = [(a * b).sum() for a, b in zip(g, v) if a is not None and a.requires_grad]
            h = torch.autograd.grad(sum(along), self.params, allow_unused=True) if along else [None] * len(g)
            self.flat(call.out, call.n).copy_(self.join(h))
        self.callbacks(hvp=product)

    def _answer(self, name, function, user, call):
        call = Call.from_address(call)
        try:
            with self._replay() as run:
                function(call)
                if name in ("grad", "vjp"):
                    self._made = {p: None if p.grad is None else laid_out(p.grad, data) for p, data in self._data.items()}
                    for p, g in self._made.items():
                        self._where[p] = None  # bound anew afterwards
                        lib.pitot_bind_param(run, self._ids[p], None, None if g is None else g.data_ptr())
            call.status = 0
        except BaseException as e:
            self._error = e

    @contextlib.contextmanager
    def _replay(self):
        grads, buffers = [(p, p.grad) for p in self._net.parameters()], [(b, b.clone()) for b in self._net.buffers()]
        run, due, self._run, self.due = self._run, self.due, None, 0  # hooks called from inside do nothing
        with torch.random.fork_rng(), torch.enable_grad():
            try:
                torch.set_rng_state(self._random[0])
                if self._random[1]:
                    torch.cuda.set_rng_state_all(self._random[1])
                for p, g in grads:
                    p.grad = g.clone() if self._carried and g is not None else None
                yield run
            finally:
                self._run, self.due = run, due
                for p, g in grads:
                    p.grad = g
                for b, was in buffers:
                    if not torch.equal(b, was):
                        b.copy_(was)

    def pointer(self, tensor, count=None, dtype=REAL):
        """Where C finds the values, row-major, until after_update; count: how many it will read."""
        if tensor is None:
            return None
        if count not in (None, tensor.numel()):
            raise ValueError("pitot: %d values where the batch has %d" % (tensor.numel(), count))
        self._kept.append(tensor.detach().to("cpu", dtype).contiguous())
        return self._kept[-1].data_ptr()

    def flat(self, pointer, n):
        """The n values at call.v or call.out, not copied."""
        return torch.frombuffer((C_REAL * n).from_address(pointer), dtype=REAL)

    def split(self, vector):
        """A vector's parts in the shapes of run.params, the parameters that have a gradient."""
        return [v.view(p.shape).to(p) for v, p in zip(vector.split([p.numel() for p in self.params]), self.params)]

    def join(self, parts):
        """The vector of such parts; None: zeros."""
        parts = [torch.zeros_like(p) if v is None else v.detach() for v, p in zip(parts, self.params)]
        return torch.cat([v.reshape(-1).to("cpu", REAL) for v in parts])

    # ---- what is going on ----

    def scalar(self, name, value):
        lib.pitot_scalar(self._run, name.encode(), float(value))

    def value(self, name):
        """The latest value under its name in the log; NaN if there is none."""
        value = ctypes.c_double(math.nan)
        lib.pitot_value(self._run, name.encode(), ctypes.byref(value), None)
        return value.value

    def report(self):
        text = ctypes.create_string_buffer(1 + lib.pitot_report(self._run, None, 0))
        lib.pitot_report(self._run, text, len(text))
        return text.value.decode()

    def last_error(self):
        return lib.pitot_last_error(self._run).decode() if self._run else self._said

    def close(self, how=DONE):
        """After it every method does nothing."""
        if self._run:
            self._said, run, self._run, self.due = self.last_error(), self._run, None, 0
            lib.pitot_close(run, how)
            for hook in self._hooks:
                hook.remove()
            self._kept.clear()


watch = Run
