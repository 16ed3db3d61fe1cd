"""Times of the Python tools that do what `curvature` beside this file times: curvature_peers.py MODEL BATCH THREADS [WHAT...]

WHAT: gradient, hvp, ggnvp (curvlinops), top10 (SciPy's eigsh over curvlinops, tolerance 1e-3), density (PyHessian, 100 iterations),
spectrum and pairs10 (ViViT: all eigenvalues of the GGN, its ten leading pairs). Least milliseconds of a few runs; "-" for what is not
installed. The tools are found on PYTHONPATH; PyTorch 1.13 goes with curvlinops 1.2.0, BackPACK 1.7.1, ViViT 1.0.0."""
import json
import sys
import time
import warnings

import torch
import torch.nn as nn

from torch_step import build

warnings.filterwarnings("ignore")


def least(run, times):
    best = float("inf")
    for _ in range(times):
        t = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - t)
    return 1e3 * best


def separate(net):
    """Without in-place activations, which double backward and ViViT do not bear."""
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return net


def gradient(net, x, y):
    params = list(net.parameters())
    return least(lambda: torch.autograd.grad(nn.CrossEntropyLoss()(net(x), y), params), 5)


def operator(kind, net, x, y):
    import curvlinops

    return getattr(curvlinops, kind)(net, nn.CrossEntropyLoss(), list(net.parameters()), [(x, y)], check_deterministic=False, progressbar=False)


def product(kind):
    def run(net, x, y):
        op = operator(kind, net, x, y)
        v = torch.rand(op.shape[0]).numpy()
        return least(lambda: op @ v, 5)

    return run


def top10(net, x, y):
    from scipy.sparse.linalg import eigsh

    op = operator("HessianLinearOperator", net, x, y)
    return least(lambda: eigsh(op, k=10, which="LA", tol=1e-3), 1)


def density(net, x, y):
    import pyhessian

    return least(lambda: pyhessian.hessian(net, nn.CrossEntropyLoss(), data=(x, y), cuda=False).density(iter=100, n_v=1), 1)


def vivit_of(leading):
    def run(net, x, y):
        from backpack import backpack, extend
        import vivit

        net, loss = extend(net), extend(nn.CrossEntropyLoss())

        def once():
            group = {"params": list(net.parameters()), "criterion": lambda values: list(range(len(values) - 10, len(values)))}
            c = vivit.EighComputation(warn_small_eigvals=0.0) if leading else vivit.EigvalshComputation()
            value = loss(net(x), y)
            with backpack(c.get_extension(), extension_hook=c.get_extension_hook([group])):
                value.backward()
            c.get_result(group)

        return least(once, 1)

    return run


WHAT = {
    "gradient": gradient,
    "hvp": product("HessianLinearOperator"),
    "ggnvp": product("GGNLinearOperator"),
    "top10": top10,
    "density": density,
    "spectrum": vivit_of(0),
    "pairs10": vivit_of(1),
}


def main():
    model, batch, threads = json.load(open(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = separate(build(model))
    x, y = torch.randn(batch, *model["input"]), torch.randint(10, (batch,))
    for what in sys.argv[4:] or WHAT:
        try:
            print("%s %.2f" % (what, WHAT[what](net, x, y)), flush=True)
        except ImportError as missing:
            print("%s - (%s)" % (what, missing), flush=True)


if __name__ == "__main__":
    main()
