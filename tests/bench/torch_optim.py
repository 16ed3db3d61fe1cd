"""PyTorch's optimizers beside ours, in one process, in turn, on the same parameters and gradients: the tensors of mnist_mlp, or of a net that many
times as large: torch_optim.py LIBRARY THREADS SECONDS SCALE [METHOD].
Prints for each method: name, milliseconds of a step of ours and of PyTorch's (medians), and the median of theirs over ours, of neighbouring blocks.
PyTorch's is the fastest of what it has for the method (for-loop, foreach, fused). Both share OpenMP's threads; each keeps its own state."""
import ctypes
import statistics
import sys
import time

import torch

METHODS = [("sgd", torch.optim.SGD, {}), ("sgd_momentum", torch.optim.SGD, {"momentum": 0.9}), ("adagrad", torch.optim.Adagrad, {}),
           ("rmsprop", torch.optim.RMSprop, {}), ("adam", torch.optim.Adam, {}), ("adamw", torch.optim.AdamW, {}),
           ("nadam", torch.optim.NAdam, {}), ("radam", torch.optim.RAdam, {})]
SHAPES = [(1000, 784), (1000,), (500, 1000), (500,), (100, 500), (100,), (10, 100), (10,)]
KINDS = [{"foreach": False}, {"foreach": True}, {"fused": True}]
BLOCK, DIMS = 8, 5


class Tensor(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("size", ctypes.c_int64), ("data", ctypes.c_void_p),
                ("grad_at", ctypes.POINTER(ctypes.c_void_p)), ("shape", ctypes.c_int64 * DIMS)]


def ours(lib, name, options, params, threads):
    """A step, as a function."""
    optim = ctypes.c_void_p(lib.pitot_optim_new(name.split("_")[0].encode(), None))
    for option, value in {"lr": 1e-6, **options}.items():
        if lib.pitot_optim_set(optim, option.encode(), str(value).encode(), None):
            raise ValueError(option)
    tensors = (Tensor * len(params))(*[Tensor(b"w", p.numel(), p.data_ptr(), ctypes.pointer(ctypes.c_void_p(p.grad.data_ptr())),
                                              tuple(p.shape)) for p in params])
    if lib.pitot_optim_prepare(optim, tensors, len(params), threads, None):
        raise ValueError(name)

    def step(kept=tensors):
        if lib.pitot_optim_step(optim):
            raise ValueError(name)
    return step


def theirs(make, options, params):
    """A step of each kind that there is."""
    steps = []
    for kind in KINDS:
        try:
            step = make(params, lr=1e-6, **options, **kind).step
            step()
            steps.append(step)
        except (TypeError, RuntimeError):  # not in this release, or not on the CPU
            pass
    return steps


def block(step):
    """Milliseconds of a step: the median, after one that brings into the caches what is its own."""
    times = []
    step()
    for _ in range(BLOCK):
        t = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - t))
    return statistics.median(times)


def measure(steps, seconds):
    """steps[0] is ours. Each round begins with another."""
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        order = [(len(times) + k) % len(steps) for k in range(len(steps))]
        of = {k: block(steps[k]) for k in order}
        times.append([of[k] for k in range(len(steps))])
    medians = [statistics.median(column) for column in zip(*times)]
    best = min(range(1, len(steps)), key=lambda k: medians[k])
    return medians[0], medians[best], statistics.median(t[best] / t[0] for t in times)


def main():
    lib, threads, seconds, scale = ctypes.CDLL(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    lib.pitot_optim_new.restype = ctypes.c_void_p
    torch.set_num_threads(threads)
    for name, make, options in METHODS:
        if len(sys.argv) > 5 and name != sys.argv[5]:
            continue
        params = [torch.nn.Parameter(torch.rand(s[0] * scale, *s[1:]) - 0.5) for s in SHAPES]
        for p in params:
            p.grad = torch.rand_like(p) - 0.5
        print("%s %.3f %.3f %.3f" % (name, *measure([ours(lib, name, options, params, threads), *theirs(make, options, params)], seconds)),
              flush=True)


if __name__ == "__main__":
    main()
