"""pitot beside PyTorch on the same model files, weights and data.

Each net: the model file is read here and built from torch.nn.functional; random weights go through a safetensors file, samples
through an npz file. `pitot inspect` gives loss, per-sample losses and gradients, compared with float64 autograd in double (1e-9,
relative to the largest value of the tensor) and in float (1e-4); so are the per-sample quantities, and products with Hessian and GGN,
against double backward. Then `pitot train --no-shuffle` makes 20 steps with each
optimizer, compared with torch.optim in float32. Prints "ok NAME" and "not ok NAME: why"; exit status 1 if anything differs.
"""

import json
import os
import subprocess
import sys

import numpy as np
import torch
import torch.nn.functional as F

from weights import read_safetensors, write_safetensors

WORK = sys.argv[1]
PITOT = os.environ.get("PITOT", "build/pitot")
DOUBLE, FLOAT, TRAINED = 1e-9, 1e-4, 1e-4
failures = 0


def conv(name, channels, kernel, **more):
    return dict(op="conv2d", name=name, out_channels=channels, kernel=kernel, **more)


def linear(name, features, **more):
    return dict(op="linear", name=name, out_features=features, **more)


def op(kind, **more):
    return dict(op=kind, **more)


# Together: every op, every loss, every attribute in every form.
NETS = [
    dict(name="mlp", input=[13], loss="mse", layers=[
        linear("fc1", 17), op("relu"), linear("fc2", 11, bias=False), op("tanh"), op("dropout", p=0.25),
        linear("fc3", 12), op("sigmoid"), linear("fc4", 9), op("selu"), linear("out", 3)]),
    dict(name="curves", input=[10], loss="bce_with_logits", layers=[
        linear("a", 30), op("silu"), linear("b", 30), op("gelu"), linear("c", 30), op("gelu", approximate="tanh"),
        linear("d", 30), op("leaky_relu"), linear("e", 30), op("leaky_relu", negative_slope=0.3), linear("f", 30), op("elu"),
        linear("g", 30), op("elu", alpha=1.7), linear("h", 30), op("softplus"), linear("i", 30),
        op("softplus", beta=2.5, threshold=1.5), op("gelu", approximate="none"), linear("j", 4)]),
    dict(name="convolutions", input=[3, 12, 11], loss="cross_entropy", layers=[
        conv("c1", 8, 3, padding=1), op("relu"), conv("c2", 8, [3, 2], stride=[2, 1], padding=[1, 0], bias=False), op("tanh"),
        conv("c3", 12, 3, groups=4, dilation=[1, 2], padding=2), op("relu"), conv("c4", 12, 1, groups=12), op("silu"),
        conv("c5", 6, [1, 3], stride=2), op("relu"), op("flatten"), linear("out", 5)]),
    dict(name="pools", input=[2, 15, 14], loss="cross_entropy", layers=[
        conv("c1", 4, 3), op("max_pool2d", kernel=[3, 2], stride=[2, 1], padding=[1, 1]), op("relu"),
        conv("c2", 4, 3, padding=2), op("max_pool2d", kernel=2, dilation=2, stride=1), op("relu"),
        op("max_pool2d", kernel=3, stride=2, ceil_mode=True), conv("c3", 6, 3, padding=3),
        op("avg_pool2d", kernel=3, stride=2, padding=1), op("avg_pool2d", kernel=[2, 3], ceil_mode=True, stride=1),
        conv("c4", 6, 1, padding=3), op("avg_pool2d", kernel=3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        op("global_avg_pool2d"), linear("out", 4)]),
    dict(name="residual", input=[3, 8, 8], loss="cross_entropy", layers=[
        conv("stem", 6, 3, padding=1), op("relu", name="r0"), conv("b1", 6, 3, padding=1), op("relu"),
        conv("b2", 6, 3, padding=1), op("add", name="sum1", inputs=["r0", "b2"]), op("relu", name="r1"),
        conv("left", 6, 1, inputs="r1"), conv("right", 6, 3, padding=1, inputs=["r1"]),
        op("add", name="sum2", inputs=["left", "right", "r1", "r1"]), op("tanh"), op("global_avg_pool2d"), linear("out", 5)]),
    dict(name="images_mse", input=[2, 7, 7], loss="mse", layers=[
        conv("c1", 5, 3), op("elu"), conv("c2", 3, 3), op("flatten"), op("relu"), linear("out", 6)]),
    dict(name="mnist_mlp", input=[1, 28, 28], loss="cross_entropy", layers=[
        op("flatten"), linear("fc1", 1000), op("relu"), linear("fc2", 500), op("relu"), linear("fc3", 100), op("relu"),
        linear("fc4", 10)]),
    dict(name="fmnist_2c2d", input=[1, 28, 28], loss="cross_entropy", layers=[
        conv("conv1", 32, 5, padding=2), op("relu"), op("max_pool2d", kernel=2), conv("conv2", 64, 5, padding=2), op("relu"),
        op("max_pool2d", kernel=2), op("flatten"), linear("fc1", 1024), op("relu"), linear("fc2", 10)]),
    dict(name="cifar10_3c3d", input=[3, 32, 32], loss="cross_entropy", layers=[
        conv("conv1", 64, 5), op("relu"), op("max_pool2d", kernel=3, stride=2, ceil_mode=True), conv("conv2", 96, 3), op("relu"),
        op("max_pool2d", kernel=3, stride=2, ceil_mode=True), conv("conv3", 128, 3, padding=1), op("relu"),
        op("max_pool2d", kernel=3, stride=2, ceil_mode=True), op("flatten"), linear("fc1", 512), op("relu"), linear("fc2", 256),
        op("relu"), linear("fc3", 10)]),
]
LARGE = {"mnist_mlp": 10, "fmnist_2c2d": 4, "cifar10_3c3d": 4}  # samples that are inspected; of the others 11
CONFIGS = [  # optimizer, options
    ("sgd", dict(lr=0.05)),
    ("sgd", dict(lr=0.02, momentum=0.9)),
    ("sgd", dict(lr=0.05, momentum=0.8, dampening=0.3)),
    ("sgd", dict(lr=0.02, momentum=0.9, nesterov=True)),
    ("sgd", dict(lr=0.02, momentum=0.9, weight_decay=0.05, nesterov=True)),
    ("adam", dict(lr=0.003)),
    ("adam", dict(lr=0.003, betas=(0.8, 0.9), eps=1e-4, weight_decay=0.05)),
    ("adam", dict(lr=0.003, betas=(0.9, 0.9), amsgrad=True)),
    ("adamw", dict(lr=0.003)),
    ("adamw", dict(lr=0.003, weight_decay=0.3, amsgrad=True, betas=(0.9, 0.5))),
    ("adagrad", dict(lr=0.02)),
    ("adagrad", dict(lr=0.02, lr_decay=0.05, weight_decay=0.02, initial_accumulator_value=0.01, eps=1e-6)),
    ("rmsprop", dict(lr=0.002)),
    ("rmsprop", dict(lr=0.002, alpha=0.9, momentum=0.8, weight_decay=0.02, eps=1e-4)),
    ("rmsprop", dict(lr=0.002, alpha=0.9, centered=True, eps=1e-2)),
]
# PyTorch 1.13's NAdam is not yet the published method; RAdam and NAdam are held against golden traces
METHODS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "adagrad": torch.optim.Adagrad, "rmsprop": torch.optim.RMSprop}


# ---- the same net in PyTorch ----

POINTWISE = {
    "relu": lambda l, x: F.relu(x), "tanh": lambda l, x: torch.tanh(x), "sigmoid": lambda l, x: torch.sigmoid(x),
    "silu": lambda l, x: F.silu(x), "selu": lambda l, x: F.selu(x), "dropout": lambda l, x: x, "flatten": lambda l, x: x.flatten(1),
    "gelu": lambda l, x: F.gelu(x, approximate=l.get("approximate", "none")),
    "leaky_relu": lambda l, x: F.leaky_relu(x, l.get("negative_slope", 0.01)),
    "elu": lambda l, x: F.elu(x, l.get("alpha", 1.0)),
    "softplus": lambda l, x: F.softplus(x, l.get("beta", 1), l.get("threshold", 20)),
    "global_avg_pool2d": lambda l, x: x.mean((2, 3)),
    "max_pool2d": lambda l, x: F.max_pool2d(x, l["kernel"], l.get("stride", l["kernel"]), l.get("padding", 0), l.get("dilation", 1),
                                            l.get("ceil_mode", False)),
    "avg_pool2d": lambda l, x: F.avg_pool2d(x, l["kernel"], l.get("stride", l["kernel"]), l.get("padding", 0),
                                            l.get("ceil_mode", False), l.get("count_include_pad", True)),
}


def layer_forward(l, name, x, theta):
    weight, bias = theta.get(name + ".weight"), theta.get(name + ".bias")
    if l["op"] == "linear":
        return F.linear(x[0], weight, bias)
    if l["op"] == "conv2d":
        return F.conv2d(x[0], weight, bias, l.get("stride", 1), l.get("padding", 0), l.get("dilation", 1), l.get("groups", 1))
    if l["op"] == "add":
        return sum(x[1:], x[0])
    return POINTWISE[l["op"]](l, x[0])


def forward(net, x, theta):
    values, last = {"input": x}, "input"
    for i, l in enumerate(net["layers"]):
        names = l.get("inputs", last)
        names = [names] if isinstance(names, str) else names
        last = l.get("name", str(i))
        values[last] = layer_forward(l, last, [values[n] for n in names], theta)
    return values[last]


def losses_of(net, f, y):
    if net["loss"] == "cross_entropy":
        return F.cross_entropy(f, y, reduction="none")
    each = F.mse_loss if net["loss"] == "mse" else F.binary_cross_entropy_with_logits
    return each(f, y, reduction="none").flatten(1).mean(1)


def draw_theta(net, generator):
    """Shapes as torch.nn would have them, found by going forward; values uniform within 1/sqrt(fan_in), kept in float32."""
    theta, shape = {}, {"input": list(net["input"])}
    last = "input"
    for i, l in enumerate(net["layers"]):
        names = l.get("inputs", last)
        first = names if isinstance(names, str) else names[0]
        last = l.get("name", str(i))
        if l["op"] == "linear":
            size = [l["out_features"], shape[first][0]]
        elif l["op"] == "conv2d":
            kernel = l["kernel"] if isinstance(l["kernel"], list) else [l["kernel"]] * 2
            size = [l["out_channels"], shape[first][0] // l.get("groups", 1)] + kernel
        else:
            size = None
        if size:
            bound = float(np.prod(size[1:])) ** -0.5
            theta[last + ".weight"] = (torch.rand(size, generator=generator) * 2 - 1) * bound
            if l.get("bias", True):
                theta[last + ".bias"] = (torch.rand(size[0], generator=generator) * 2 - 1) * bound
        x = [torch.zeros([1] + shape[n]) for n in ([names] if isinstance(names, str) else names)]
        shape[last] = list(layer_forward(l, last, x, theta).shape[1:])
    return theta, shape[last][0]


class Case:
    """One net with weights and data, in files and as tensors."""

    def __init__(self, net, samples, seed):
        generator = torch.Generator().manual_seed(seed)
        self.net, self.samples = net, samples
        self.theta, outputs = draw_theta(net, generator)
        self.x = torch.rand([samples] + net["input"], generator=generator) * 2 - 0.5
        if net["loss"] == "cross_entropy":
            self.y = torch.randint(0, outputs, (samples,), generator=generator)
            self.y[-1] = outputs - 1
        else:
            self.y = torch.rand([samples, outputs], generator=generator)
        self.model, self.weights, self.npz = (os.path.join(WORK, net["name"] + end) for end in (".json", ".safetensors", ".npz"))
        with open(self.model, "w") as out:
            json.dump(net, out)
        write_safetensors(self.weights, self.theta)
        np.savez(self.npz, x=self.x.numpy(), y=self.y.numpy())


# ---- comparing ----

def say(good, name, why=""):
    global failures
    failures += not good
    print("ok " + name if good else "not ok %s: %s" % (name, why), flush=True)


def distance(got, want):
    """Largest difference, relative to the largest value; infinite for what is not a number or has another shape."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if got.shape != want.shape or not np.isfinite(got).all():
        return np.inf
    return float(np.abs(got - want).max() / max(np.abs(want).max(), 1e-30)) if want.size else 0.0


def run(arguments):
    done = subprocess.run([PITOT] + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    if done.returncode:
        raise RuntimeError("exit status %d: %s" % (done.returncode, done.stderr.strip()[-300:]))
    return done.stdout


def inspect(case, precision, probes="loss,individual_losses,grad,grad_norm", more=()):
    text = run(["inspect", "--model", case.model, "--weights", case.weights, "--data", "npz:" + case.npz, "--batch", str(case.samples),
                "--probes", probes, "--precision", precision, "--json", "-", *more])
    answer = json.loads(text)
    if answer["precision"] != precision or answer["samples"] != case.samples:
        raise RuntimeError("the answer is for %s samples in %s" % (answer["samples"], answer["precision"]))
    bad = [n for n, p in answer["probes"].items() if p["status"] != "ok"]
    if bad:
        raise RuntimeError("no value of " + ", ".join(bad))
    return {name: probe["value"] for name, probe in answer["probes"].items()}


def reference(case):
    theta = {n: t.double().requires_grad_() for n, t in case.theta.items()}
    y = case.y if case.net["loss"] == "cross_entropy" else case.y.double()
    losses = losses_of(case.net, forward(case.net, case.x.double(), theta), y)
    losses.mean().backward()
    grad = {n: t.grad.numpy() for n, t in theta.items()}
    return losses.mean().item(), losses.detach().numpy(), grad


def compare_inspection(case, want, precision, tolerance):
    name = "inspect %s %s" % (case.net["name"], precision)
    try:
        got = inspect(case, precision)
    except (RuntimeError, ValueError, KeyError, OSError) as e:
        return say(False, name, str(e))
    loss, losses, grad = want
    off = {"loss": distance(got["loss"], loss), "individual_losses": distance(got["individual_losses"], losses)}
    if set(got["grad"]) != set(grad) or set(got["grad_norm"]) != set(grad):
        return say(False, name, "other parameters: " + " ".join(sorted(set(got["grad"]) ^ set(grad))))
    for n, g in grad.items():
        off["grad of " + n] = distance(got["grad"][n], g)
        off["norm of " + n] = distance(got["grad_norm"][n], np.sqrt((g ** 2).sum()))
    worst = max(off, key=off.get)
    say(off[worst] <= tolerance, name, "%s is off by %.2g" % (worst, off[worst]))


def sample_gradients(case):
    """Flat gradients (n, D) of every sample's own loss, in double."""
    rows = []
    for k in range(case.samples):
        theta = {n: t.double().requires_grad_() for n, t in case.theta.items()}
        y = case.y if case.net["loss"] == "cross_entropy" else case.y.double()
        losses_of(case.net, forward(case.net, case.x[k:k + 1].double(), theta), y[k:k + 1]).mean().backward()
        rows.append({n: t.grad.numpy() for n, t in theta.items()})
    return rows


def compare_samples(case, precision, tolerance):
    name = "samples %s %s" % (case.net["name"], precision)
    try:
        got = inspect(case, precision, "sample_grad_l2,sum_grad_squared,grad_variance,mean_gsnr,noise_scale")
    except (RuntimeError, ValueError, KeyError, OSError) as e:
        return say(False, name, str(e))
    rows, n = sample_gradients(case), case.samples
    second = {k: sum(r[k] ** 2 for r in rows) for k in rows[0]}
    mean = {k: sum(r[k] for r in rows) / n for k in rows[0]}
    variance = {k: sum((r[k] - mean[k]) ** 2 for r in rows) / n for k in rows[0]}
    square = sum((m ** 2).sum() for m in mean.values())
    ratios = np.concatenate([(mean[k] ** 2 / (variance[k] + 1e-5)).ravel() for k in mean])
    off = {"sample_grad_l2": distance(got["sample_grad_l2"], [sum((g ** 2).sum() for g in r.values()) for r in rows]),
           "mean_gsnr": distance(got["mean_gsnr"], ratios.mean()),
           "noise_scale": distance(got["noise_scale"], sum(v.sum() for v in variance.values()) * n / (n - 1) / square)}
    for k in second:
        off["sum_grad_squared of " + k] = distance(got["sum_grad_squared"][k], second[k])
        off["grad_variance of " + k] = distance(got["grad_variance"][k], variance[k])
    worst = max(off, key=off.get)
    say(off[worst] <= tolerance, name, "%s is off by %.2g" % (worst, off[worst]))


def output_hessian(net, f, d, n):
    """Product of the mean loss's Hessian in the outputs f with d."""
    if net["loss"] == "cross_entropy":
        p = torch.softmax(f, 1)
        return (p * d - p * (p * d).sum(1, keepdim=True)) / n
    if net["loss"] == "mse":
        return 2 * d / f.numel()
    p = torch.sigmoid(f)
    return p * (1 - p) * d / f.numel()


def products_here(case, v):
    """H v by double backward; G v = J' (d2 loss / df2) J v, J v by differentiating J'u in u."""
    theta = {n: t.double().requires_grad_() for n, t in case.theta.items()}
    y = case.y if case.net["loss"] == "cross_entropy" else case.y.double()
    f, parts = forward(case.net, case.x.double(), theta), list(theta.values())
    grad = torch.autograd.grad(losses_of(case.net, f, y).mean(), parts, create_graph=True)
    along = sum((g * w).sum() for g, w in zip(grad, v.values()))
    # gradients that do not depend on a parameter have no second derivative in it
    hv = torch.autograd.grad(along, parts, retain_graph=True, allow_unused=True) if along.requires_grad else [None] * len(parts)
    hv = [torch.zeros_like(t) if h is None else h for h, t in zip(hv, parts)]
    u = torch.zeros_like(f, requires_grad=True)
    back = torch.autograd.grad(f, parts, u, create_graph=True, allow_unused=True)
    jv = torch.autograd.grad(sum((b * w).sum() for b, w in zip(back, v.values()) if b is not None), u, retain_graph=True)[0]
    gv = torch.autograd.grad(f, parts, output_hessian(case.net, f, jv, case.samples).detach())
    return {"hessian": torch.cat([h.reshape(-1) for h in hv]).numpy(), "ggn": torch.cat([g.reshape(-1) for g in gv]).numpy()}


def compare_products(case, precision, tolerance, seed):
    draw = torch.Generator().manual_seed(seed)
    v = {n: torch.randn(t.shape, generator=draw, dtype=torch.float64) for n, t in case.theta.items()}
    file = os.path.join(WORK, "v.npy")
    np.save(file, torch.cat([w.reshape(-1) for w in v.values()]).numpy())
    for operator, want in products_here(case, v).items():
        name = "%s product %s %s" % (operator, case.net["name"], precision)
        try:
            got = inspect(case, precision, "product", ["--set", "product.operator=" + operator, "--set", "product.vector=" + file])["product"]
        except (RuntimeError, ValueError, KeyError, OSError) as e:
            say(False, name, str(e))
            continue
        off = distance(got, want)
        say(off <= tolerance, name, "is off by %.2g" % off)


def train_here(case, method, options, batch, steps):
    theta = {n: t.clone().requires_grad_() for n, t in case.theta.items()}
    optimizer = METHODS[method](list(theta.values()), **options)
    per_epoch = (case.samples + batch - 1) // batch
    for step in range(steps):
        part = slice(step % per_epoch * batch, min(step % per_epoch * batch + batch, case.samples))
        optimizer.zero_grad()
        losses_of(case.net, forward(case.net, case.x[part], theta), case.y[part]).mean().backward()
        optimizer.step()
    return {n: t.detach() for n, t in theta.items()}


def option_text(value):
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(repr(v) for v in value) if isinstance(value, tuple) else repr(value)


def compare_training(case, method, options, batch, steps):
    name = "train %s %s %s" % (case.net["name"], method, ",".join("%s=%s" % (k, option_text(v)) for k, v in options.items()))
    saved, out = os.path.join(WORK, "saved.safetensors"), os.path.join(WORK, "run%d" % len(os.listdir(WORK)))
    arguments = ["train", "--model", case.model, "--data", "npz:" + case.npz, "--optimizer", method, "--probes", "none", "--batch", str(batch),
                 "--steps", str(steps), "--no-shuffle", "--init", case.weights, "--save", saved, "--out", out, "--quiet"]
    for key, value in options.items():
        arguments += ["--set", "%s=%s" % (key, option_text(value))]
    try:
        run(arguments)
        got = read_safetensors(saved)
    except (RuntimeError, ValueError, KeyError, OSError) as e:
        return say(False, name, str(e))
    want = train_here(case, method, options, batch, steps)
    if set(got) != set(want):
        return say(False, name, "other parameters: " + " ".join(sorted(set(got) ^ set(want))))
    off = {n: distance(got[n], want[n]) for n in want}
    moved = min(distance(case.theta[n], want[n]) for n in want)
    worst = max(off, key=off.get)
    if moved < 10 * TRAINED:
        return say(False, name, "hardly trains, the comparison means nothing (%.2g)" % moved)
    say(off[worst] <= TRAINED, name, "%s is off by %.2g" % (worst, off[worst]))


def main():
    torch.set_num_threads(2)
    seen = {l["op"] for net in NETS for l in net["layers"]}
    known = {o["name"] for o in json.loads(run(["list", "ops", "--json"]))}
    say(known <= seen, "every op is in a net", "missing: " + " ".join(sorted(known - seen)))
    methods = {o["name"] for o in json.loads(run(["list", "optimizers", "--json"]))}
    trained = {method for method, _ in CONFIGS}
    say(set(METHODS) <= methods and set(METHODS) == trained, "every optimizer is trained with", "missing: " + " ".join(sorted(set(METHODS) ^ trained)))
    for i, net in enumerate(NETS):
        case = Case(net, LARGE.get(net["name"], 11), i)
        want = reference(case)
        compare_inspection(case, want, "double", DOUBLE)
        compare_inspection(case, want, "float", FLOAT)
        for precision, tolerance in (("double", DOUBLE), ("float", FLOAT)):
            compare_samples(case, precision, tolerance)
            compare_products(case, precision, tolerance, i)
    mlp = dict(name="trained_mlp", input=[9], loss="cross_entropy", layers=[linear("a", 16), op("tanh"), linear("b", 12), op("silu"), linear("c", 4)])
    cnn = dict(name="trained_cnn", input=[2, 8, 8], loss="cross_entropy", layers=[
        conv("c1", 6, 3, padding=1), op("tanh"), op("avg_pool2d", kernel=2), conv("c2", 8, 3), op("tanh"), op("flatten"), linear("out", 5)])
    for k, net in enumerate((mlp, cnn)):
        case = Case(net, 30, 100 + k)
        for method, options in CONFIGS:
            compare_training(case, method, options, 8, 20)
    return 1 if failures else 0


sys.exit(main())
