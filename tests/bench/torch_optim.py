"""Time of PyTorch's optimizers' updates on the tensors of mnist_mlp, or of a net that many times as large: torch_optim.py THREADS SECONDS SCALE
[METHOD].
Prints for each method: name, milliseconds (median), the better of foreach off and on."""
import sys
import time

import torch

METHODS = [("sgd", torch.optim.SGD, {}), ("sgd_momentum", torch.optim.SGD, {"momentum": 0.9}), ("adagrad", torch.optim.Adagrad, {}),
           ("rmsprop", torch.optim.RMSprop, {}), ("adam", torch.optim.Adam, {}), ("adamw", torch.optim.AdamW, {}),
           ("nadam", torch.optim.NAdam, {}), ("radam", torch.optim.RAdam, {})]
SHAPES = [(1000, 784), (1000,), (500, 1000), (500,), (100, 500), (100,), (10, 100), (10,)]


def measure(make, options, scale, seconds):
    params = [torch.nn.Parameter(torch.rand(s[0] * scale, *s[1:]) - 0.5) for s in SHAPES]
    for p in params:
        p.grad = torch.rand_like(p) - 0.5
    optimizer = make(params, lr=1e-6, **options)
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        t = time.perf_counter()
        optimizer.step()
        times.append(time.perf_counter() - t)
    times = sorted(times[2:])
    return 1e3 * times[len(times) // 2]


def main():
    threads, seconds, scale = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    for name, make, options in METHODS:
        if len(sys.argv) > 4 and not name.startswith(sys.argv[4]):
            continue
        print("%s %.4f" % (name, min(measure(make, {**options, "foreach": f}, scale, seconds / 2) for f in (False, True))), flush=True)


if __name__ == "__main__":
    main()
