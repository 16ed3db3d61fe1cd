"""examples/pitot.py on PyTorch loops. Prints "ok NAME" and "not ok NAME: why"; exit status 1 if anything differs.

Numbers: a step's probes beside `pitot inspect` on the same weights and batch, and beside loops over the samples in float64 (both 1e-4).
Training: bit-identical with and without probes. Callbacks: what they raise or break. Layers: every kind that is covered, and not.
"""

import copy
import ctypes
import hashlib
import json
import math
import os
import pickle
import signal
import struct
import subprocess
import sys
import time
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from weights import write_safetensors

WORK = sys.argv[1]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLES = os.path.join(ROOT, "examples")
PITOT = os.environ.get("PITOT", "build/pitot")
NEAR = 1e-4
failures = 0
torch.set_num_threads(1)


def train(wrap, method, steps=52):
    """Dropout, batch statistics, momentum, random numbers drawn in the loop; a digest of all that training leaves."""
    torch.manual_seed(5)
    net = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.MaxPool2d(2), nn.Flatten(),
                        nn.Linear(54, 16), nn.LayerNorm(16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 4))
    optimizer = method(net.parameters())
    here = {}
    run = wrap(net, lambda: F.cross_entropy(net(here["x"]), here["y"])) if wrap else None
    for step in range(steps):
        here.update(x=torch.randn(12, 2, 6, 6), y=torch.randint(0, 4, (12,)))
        if run:
            run.begin(step)
        losses = F.cross_entropy(net(here["x"]), here["y"], reduction="none")
        if run:
            run.after_forward(12, losses.mean(), losses)
        optimizer.zero_grad(set_to_none=step % 2 == 0)
        losses.mean().backward()
        if run:
            run.after_backward()
        optimizer.step()
        if run:
            run.after_update(0.05)
    state = hashlib.sha256()
    kept = [v for s in optimizer.state_dict()["state"].values() for v in s.values()]
    for t in list(net.state_dict().values()) + [p.grad for p in net.parameters()] + kept + [torch.get_rng_state()]:
        state.update(t.contiguous().numpy().tobytes() if torch.is_tensor(t) else repr(t).encode())
    return state.hexdigest(), run


METHODS = {"sgd": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=1e-3), "adam": lambda p: torch.optim.Adam(p, 0.003)}
if sys.argv[2:]:  # in a process that never loads pitot
    print(train(None, METHODS[sys.argv[2]])[0])
    sys.exit(0)

sys.path.insert(0, EXAMPLES)
import pitot  # noqa: E402


# ---- judging ----

CASES = []


def case(function):
    CASES.append(function)
    return function


def say(good, name, why=""):
    global failures
    failures += not good
    print("ok " + name if good else "not ok %s: %s" % (name, str(why).replace("\n", " ")), flush=True)


def distance(got, want):
    """Largest difference, relative to the largest value; infinite if shapes differ, or what is not finite."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    finite = np.isfinite(want)
    if got.shape != want.shape or not (np.isfinite(got) == finite).all() or not np.array_equal(got[~finite], want[~finite]):
        return np.inf
    return float(np.abs(got[finite] - want[finite]).max() / max(np.abs(want[finite]).max(), 1e-30)) if finite.any() else 0.0


def compare(name, got, want, near=NEAR):
    """Both by (field, tensor). `want` may hold less than `got`."""
    off = {k: distance(got[k], want[k]) if k in got else np.inf for k in want}
    worst = max(off, key=off.get)
    say(off[worst] <= near, name, "%s of %s is off by %.2g, of %d numbers" % (worst + (off[worst], len(off))))


# ---- what a run has emitted ----

class Reading(ctypes.Structure):
    _fields_ = [("probe", ctypes.c_char_p), ("field", ctypes.c_char_p), ("tensor", ctypes.c_char_p), ("kind", ctypes.c_int32),
                ("n_dim", ctypes.c_int32), ("step", ctypes.c_int64), ("n", ctypes.c_int64), ("value", ctypes.c_double),
                ("numbers", ctypes.POINTER(ctypes.c_double)), ("reals", ctypes.POINTER(pitot.C_REAL)), ("shape", ctypes.POINTER(ctypes.c_int64))]


EACH = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(Reading))


def readings(run):
    out = {}

    def each(_, r):
        r = r.contents
        name = r.probe.decode() + ("." + r.field.decode() if r.field else "")
        if r.kind >= 2:
            value = np.array((r.numbers if r.kind == 2 else r.reals)[:r.n], np.float64)
            value = value.reshape(r.shape[:r.n_dim]) if r.kind == 3 else value
        else:
            value = r.value
        out[name, r.tensor.decode() if r.tensor else None] = value

    pitot.lib.pitot_readings(ctypes.c_void_p(run._run), EACH(each), None)
    return out


def health(run):
    """(errors, share of D that is covered)"""
    block = (ctypes.c_char * 128)()
    struct.pack_into("Q", block, 0, 128)
    pitot.lib.pitot_get_health(ctypes.c_void_p(run._run), block)
    return struct.unpack_from("q", block, 8)[0], struct.unpack_from("d", block, 72)[0]


PROBES = "loss,grad_norm,noise_scale,mean_gsnr,sample_grad_l2,sum_grad_squared,grad_variance,individual_losses,grad"


def step_of(net, parts, probes=PROBES, hvp=None, divide=True, **config):
    """One step of micro-batches [(n, function that gives a dict: loss, and more for after_forward)]; what was read."""
    run = pitot.watch(net, None, probes=probes, **config)
    if hvp:
        run.hvp(hvp)
    net.zero_grad(set_to_none=True)
    run.begin(0)
    for k, (n, forward) in enumerate(parts):
        given = forward()
        loss = given.pop("loss")
        run.after_forward(n, loss, more=k + 1 < len(parts), **given)
        (loss * given.get("loss_scale", 1) / (len(parts) if divide else 1)).backward()
        run.after_backward()
    got = readings(run)
    got["errors", None], got["covered", None] = health(run)
    got["said", None] = run.last_error()
    run.close()
    return got


def by_samples(net, terms, n, covered=None, epsilon=1e-5):
    """The same from a loop over samples in float64: terms(net, i) is sample i's part of the loss, so that they add up to it."""
    net = copy.deepcopy(net).double()
    named = {k: p for k, p in net.named_parameters() if p.requires_grad}
    rows = {k: [] for k in named}
    for i in range(n):
        grads = torch.autograd.grad(terms(net, i), list(named.values()), allow_unused=True)
        for (k, p), g in zip(named.items(), grads):
            rows[k].append((torch.zeros_like(p) if g is None else g).numpy() * n)
    rows = {k: np.stack(v) for k, v in rows.items()}
    want = {("grad_norm", k): np.sqrt((v.mean(0) ** 2).sum()) for k, v in rows.items()}
    rows = {k: v for k, v in rows.items() if covered is None or k in covered}
    want.update({("sum_grad_squared", k): (v ** 2).sum(0) for k, v in rows.items()})
    want.update({("grad_variance", k): v.var(0) for k, v in rows.items()})
    ratio = {k: v.mean(0) ** 2 / (v.var(0) + epsilon) for k, v in rows.items()}
    want.update({("mean_gsnr", k): v.mean() for k, v in ratio.items()})
    flat = np.concatenate([v.reshape(n, -1) for v in rows.values()], 1)
    trace, square = flat.var(0, ddof=1).sum(), (flat.mean(0) ** 2).sum()
    want.update({("mean_gsnr", None): np.concatenate([v.ravel() for v in ratio.values()]).mean(),
                 ("sample_grad_l2", None): (flat ** 2).sum(1), ("noise_scale", None): trace / square,
                 ("noise_scale.unbiased.s", None): trace})
    return want


def compare_samples(name, net, x, terms, forward, covered=None, near=NEAR, **config):
    got = step_of(net, [(len(x), forward)], **config)
    if got["errors", None]:
        return say(False, name, got["said", None])
    compare(name, got, by_samples(net, terms, len(x), covered), near)


def compare_classifier(name, net, x, y, **more):
    def terms(net, i):
        return F.cross_entropy(net(x[i:i + 1].double() if x.is_floating_point() else x[i:i + 1]), y[i:i + 1]) / len(x)
    compare_samples(name, net, x, terms, lambda: dict(loss=F.cross_entropy(net(x), y)), **more)


def random_batch(n, *shape, classes=4):
    return torch.randn(n, *shape), torch.randint(0, classes, (n,))


# ---- numbers ----

def inspected(name, layers, net, x, y, probes, options):
    base = os.path.join(WORK, name)
    with open(base + ".json", "w") as out:
        json.dump(dict(name=name, input=list(x.shape[1:]), loss="cross_entropy", layers=layers), out)
    write_safetensors(base + ".safetensors", dict(net.named_parameters()))
    np.savez(base + ".npz", x=x.numpy(), y=y.numpy())
    command = [PITOT, "inspect", "--model", base + ".json", "--weights", base + ".safetensors", "--data", "npz:" + base + ".npz",
               "--batch", str(len(x)), "--probes", probes]
    for o in options.split("\n"):
        command += ["--set", o]
    answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    want = {}
    for probe, value in answer["probes"].items():
        if value.pop("status") != "ok":
            raise RuntimeError("%s: %s" % (probe, value))
        odd = value.pop("nonfinite", [])
        per_tensor = value.pop("per_tensor", {})
        want.update({(probe, tensor): v for tensor, v in per_tensor.items()})
        for field, v in value.items():
            flatten(want, probe, field, v)
        for place, what in odd:
            field, _, index = place.partition("/")
            if index:
                want[probe + "." + field, None][int(index)] = float(what)
            else:
                want[probe + "." + field, None] = float(what)
    return want


def flatten(want, probe, field, value):
    """{"value": v}, {"value": {tensor: v}, "total": v}, {"field": v}, {"group": {"field": v}}"""
    if field == "value" and isinstance(value, dict):
        want.update({(probe, tensor): v for tensor, v in value.items()})
    elif isinstance(value, dict):
        want.update({("%s.%s.%s" % (probe, field, k), None): v for k, v in value.items()})
    else:
        want[probe if field in ("value", "total") else probe + "." + field, None] = value


@case
def beside_inspect():
    torch.manual_seed(3)
    options = "hess_max_ev.tolerance=1e-5\nhess_max_ev.products=400"
    cnn = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 4))
    mlp = nn.Sequential(nn.Linear(7, 12), nn.Tanh(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 4))
    cnn_file = [dict(op="conv2d", name="0", out_channels=5, kernel=3, padding=1), dict(op="relu"), dict(op="max_pool2d", kernel=2),
                dict(op="conv2d", name="3", out_channels=6, kernel=3), dict(op="relu"), dict(op="flatten"),
                dict(op="linear", name="6", out_features=4)]
    mlp_file = [dict(op="linear", name="0", out_features=12), dict(op="tanh"), dict(op="linear", name="2", out_features=8), dict(op="tanh"),
                dict(op="linear", name="4", out_features=4)]
    for name, net, layers, shape in (("relu cnn", cnn, cnn_file, (2, 8, 8)), ("tanh mlp", mlp, mlp_file, (7,))):
        x, y = random_batch(24, *shape)

        def forward():
            losses = F.cross_entropy(net(x), y, reduction="none")
            return dict(loss=losses.mean(), losses=losses)

        probes = PROBES + ",hess_max_ev"
        got = step_of(net, [(24, forward)], probes, lambda: F.cross_entropy(net(x), y), options=options)
        want = inspected(name.replace(" ", "_"), layers, net, x, y, probes, options)
        for unlike in ("products", "residual", "min_residual"):
            want.pop(("hess_max_ev." + unlike, None), None)
        compare("inspect: %s, %d numbers by name" % (name, len(want)), got, want)
        say(not got["errors", None] and got["covered", None] == 1, "covered: " + name, got["said", None])
        H = torch.autograd.functional.hessian
        double = copy.deepcopy(net).double()
        sizes = [p.shape for p in double.parameters()]

        def loss_at(theta):
            parts, at = theta.split([s.numel() for s in sizes]), {}
            for (k, _), part, s in zip(net.named_parameters(), parts, sizes):
                at[k] = part.view(s)
            return F.cross_entropy(nn.utils.stateless.functional_call(double, at, x.double()), y)

        ev = np.linalg.eigvalsh(H(loss_at, torch.cat([p.detach().reshape(-1) for p in double.parameters()])).numpy())
        compare("dense Hessian: " + name, got, {("hess_max_ev", None): ev[-1], ("hess_max_ev.min", None): ev[0]})
        compare_classifier("samples one by one: " + name, net, x, y)


# ---- training is the same ----

@case
def bit_identical():
    def exact(net, loss):
        run = pitot.watch(net, None, probes="all,grad,grad_variance,sum_grad_squared,sample_grad_l2,individual_losses,hess_max_ev@5", optimizer="sgd")
        run.hvp(loss)
        return run

    def differences(net, loss):
        run = pitot.watch(net, os.path.join(WORK, "differences%d" % len(os.listdir(WORK))), probes="full,hess_max_ev@10")

        def grad(call):
            value = loss()
            value.backward()
            call.loss = value.item()
        run.callbacks(grad=grad)
        return run

    for name, method in METHODS.items():
        command = [sys.executable, os.path.abspath(__file__), WORK, name]
        plain = subprocess.run(command, stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout.strip()
        for how in (exact, differences):
            digest, run = train(how, METHODS[name])
            value = run.value("hess_max_ev")
            say(digest == plain, "bit-identical: %s, %s" % (name, how.__name__), digest)
            say(math.isfinite(value) and not run.last_error(), "with dropout and batch statistics: %s, %s" % (name, how.__name__),
                "%s %s %s" % (value, run.last_error(), run.report()))
            run.close()


# ---- callbacks ----

class Boom(Exception):
    pass


def loop(callback, steps=6, dropout=0.0, name="hvp"):
    """(exceptions by step, run, calls, net is the one of a loop without probes, why not)"""
    def one(watched):
        torch.manual_seed(1)
        net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3))
        optimizer, raised, calls, run, here = torch.optim.SGD(net.parameters(), 0.1), {}, [], None, {}
        if watched:
            run = pitot.watch(net, None, probes="loss,hess_max_ev")

            def counted(call):
                calls.append(1)
                callback(call, net, run, lambda: F.cross_entropy(net(here["x"]), here["y"]))
            run.callbacks(**{name: counted})
        for step in range(steps):
            here["x"], here["y"] = random_batch(10, 5, classes=3)
            run and run.begin(step)
            loss = F.cross_entropy(net(here["x"]), here["y"])
            run and run.after_forward(10, loss)
            optimizer.zero_grad()
            loss.backward()
            try:
                run and run.after_backward()
            except BaseException as e:
                raised[step] = e
            optimizer.step()
            run and run.after_update(0.1)
        return net, run, raised, calls
    plain, (net, run, raised, calls) = one(False)[0], one(True)
    same = all(torch.equal(a, b) for a, b in zip(plain.parameters(), net.parameters()))
    return raised, run, len(calls), same, [l for l in run.report().splitlines() if l.startswith("hess_max_ev")][0]


def hv(call, net, run, loss):
    g = torch.autograd.grad(loss(), run.params, create_graph=True)
    h = torch.autograd.grad(g, run.params, run.split(run.flat(call.v, call.n)))
    run.flat(call.out, call.n)[:] = run.join(h)


@case
def callbacks():
    def raises(call, net, run, loss):
        raise Boom("boom")

    def interrupted(call, net, run, loss):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

    def changes_weights(call, net, run, loss):
        hv(call, net, run, loss)
        with torch.no_grad():
            net[0].weight.add_(1e-3)

    def other_masks(call, net, run, loss):
        torch.manual_seed(int(time.time() * 1e6) % 2 ** 31)
        hv(call, net, run, loss)

    def wrong_gradient(call, net, run, loss):
        value = loss()
        (value * 2).backward()
        call.loss = value.item()

    def hooks_inside(call, net, run, loss):
        run.begin(99)
        value = loss()
        run.after_forward(10, value)
        value.backward()
        run.after_backward()
        run.after_update(0.1)
        run.close()
        hv(call, net, run, loss)

    def other_gradients(call, net, run, loss):
        for p in net.parameters():
            p.grad = torch.full_like(p, 7.0)
        hv(call, net, run, loss)

    raised, run, calls, same, why = loop(hv, dropout=0.5)
    say(same and not raised and " on" in why and math.isfinite(run.value("hess_max_ev")), "a callback by hand", (raised, why, run.last_error()))
    raised, run, calls, same, why = loop(raises)
    say(list(raised) == [0] and isinstance(raised[0], Boom), "an exception comes back", raised)
    say(same and calls == 1 and "callback `hvp` failed" in why and run.value("loss") > 0, "training and other probes go on", (same, calls, why))
    raised, run, calls, same, why = loop(interrupted)
    say(list(raised) == [0] and isinstance(raised[0], KeyboardInterrupt) and same and calls == 1, "an interrupt comes back", (raised, same, calls))
    raised, run, calls, same, why = loop(changes_weights)
    say(same and not raised and "changed 0.weight" in why, "changed weights are put back, the callback is off", (same, raised, why))
    raised, run, calls, same, why = loop(other_masks, dropout=0.5)
    say(same and not raised and "differ by" in why, "another dropout mask is found", (same, raised, why))
    raised, run, calls, same, why = loop(wrong_gradient, name="grad")
    say(same and not raised and "away from the step's" in why, "a wrong gradient is found", (same, raised, why))
    raised, run, calls, same, why = loop(other_gradients)
    say(same and not raised and " on" in why, ".grad in a callback is its own", (same, raised, why))
    raised, run, calls, same, why = loop(hooks_inside)
    say(same and not raised and " on" in why and not run.last_error(), "hooks called from a callback do nothing",
        (same, raised, why, run.last_error()))


@case
def buffers():
    """Guarded memory, a gradient that a parameter does not get, and a loss that is linear in all parameters."""
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))
    x, y = random_batch(9, 4, classes=3)
    run = pitot.watch(net, None, probes="hess_max_ev")
    other = nn.Linear(1, 1)

    def behind_the_back(call):
        g = torch.autograd.grad(F.cross_entropy(net(x), y), run.params, create_graph=True)
        run.flat(call.out, call.n)[:] = run.join(torch.autograd.grad(g, run.params, run.split(run.flat(call.v, call.n))))
        run._net = other  # the module now looks after this one
    run.callbacks(hvp=behind_the_back)
    before, state = net[1].running_mean.clone(), torch.get_rng_state()
    run.begin(0)
    loss = F.cross_entropy(net(x), y)
    mean = net[1].running_mean.clone()
    run.after_forward(9, loss)
    loss.backward()
    run.after_backward()
    say(torch.equal(net[1].running_mean, mean) and not torch.equal(mean, before) and "changed 1." in run.last_error(),
        "running statistics are guarded", run.last_error())
    say(torch.equal(torch.get_rng_state(), state), "random state stays")
    run.close()
    line, unused = nn.Linear(4, 1, bias=False), nn.Parameter(torch.ones(3))
    line.register_parameter("unused", unused)
    x = torch.randn(5, 4)
    run = pitot.watch(line, None, probes="hess_max_ev,grad_norm")
    run.hvp(lambda: line(x).mean())
    unused.grad = torch.zeros(3)
    run.begin(0)
    loss = line(x).mean()
    run.after_forward(5, loss)
    loss.backward()
    run.after_backward()
    run.after_update(0.1)
    say(run.value("hess_max_ev") == 0, "a linear loss has no curvature", (run.value("hess_max_ev"), run.last_error()))
    run.close()


# ---- layers and loops ----

class Tokens(nn.Module):
    def __init__(self, head=None):
        super().__init__()
        self.embed, self.a, self.norm, self.b, self.head = nn.Embedding(11, 6), nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 6), nn.Linear(6, 11)
        if head:
            self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(torch.tanh(self.b(self.norm(self.a(self.embed(x))))))


class Twice(nn.Module):
    def __init__(self, tied):
        super().__init__()
        self.a, self.out = nn.Linear(5, 5), nn.Linear(5, 4)
        self.tied = tied
        if tied:
            self.b = nn.Linear(5, 5)
            self.b.weight = self.a.weight

    def forward(self, x):
        return self.out(torch.tanh((self.b if self.tied else self.a)(torch.tanh(self.a(x)))))


def conv_net(inplace=False):
    return nn.Sequential(nn.Conv2d(4, 8, 3, stride=(2, 1), padding=(1, 2), groups=2), nn.ReLU(inplace),
                         nn.Conv2d(8, 8, (3, 2), dilation=(1, 2), padding=1), nn.ReLU(inplace),
                         nn.Conv2d(8, 6, 3, padding="same", bias=False), nn.ReLU(inplace),
                         nn.Conv2d(6, 6, 1, padding="valid", groups=6), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4))


@case
def layers():
    torch.manual_seed(4)
    x, y = random_batch(7, 4, 8, 9)
    compare_classifier("grouped, strided, dilated convolutions", conv_net(), x, y)
    compare_classifier("ReLU in place", conv_net(True), x, y)
    compare_classifier("channels last", conv_net().to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last), y)
    warnings.filterwarnings("ignore", message="Using padding='same'")
    even = nn.Sequential(nn.Conv2d(4, 5, 2, padding="same"), nn.Tanh(), nn.Conv2d(5, 5, 3, padding=1, padding_mode="reflect"),
                         nn.Tanh(), nn.Flatten(), nn.Linear(5 * 72, 4))
    compare_classifier("padding that is not covered", even, x, y, covered=("5.weight", "5.bias"))
    x, y = random_batch(6, 5)
    compare_classifier("a layer applied twice", Twice(False), x, y)
    compare_classifier("tied weights", Twice(True), x, y)
    frozen = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 4))
    frozen[2].weight.requires_grad_(False)
    compare_classifier("a frozen parameter", frozen, x, y)
    first = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4))
    first[0].requires_grad_(False)
    compare_classifier("a frozen first layer", first, x, y)
    double = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4)).double()
    compare_classifier("a float64 net", double, x.double(), y)
    strided = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4))
    strided[0].weight = nn.Parameter(torch.randn(5, 12)[:, ::2].t())
    compare_classifier("strided parameters", strided, x, y)
    odd = nn.ModuleDict({"a/b": nn.Linear(5, 4)})
    odd.forward = lambda x: odd["a/b"](x)
    got = step_of(odd, [(6, lambda: dict(loss=F.cross_entropy(odd(x), y)))])
    say(("grad_norm", "a_b.weight") in got and not got["errors", None], "names that the log does not take", got["said", None])


@case
def tokens():
    torch.manual_seed(6)
    x, y = torch.randint(0, 11, (5, 7)), torch.randint(0, 11, (5, 7))
    inner = ["a.weight", "a.bias", "norm.weight", "norm.bias", "b.weight", "b.bias"]

    def run_case(name, net, covered, **more):
        compare_samples(name, net, x, lambda net, i: F.cross_entropy(net(x[i:i + 1]).flatten(0, 1), y[i]) / 5,
                        lambda: dict(loss=F.cross_entropy(net(x).flatten(0, 1), y.flatten())), covered, **more)

    run_case("positions (N,T,d), layer norm", Tokens(), inner + ["head.weight", "head.bias"])
    run_case("a weight tied to an embedding", Tokens(True), inner)
    flat = Tokens()
    compare_samples("time first", flat, x, lambda net, i: F.cross_entropy(net(x[i:i + 1]).flatten(0, 1), y[i]) / 5,
                    lambda: dict(loss=F.cross_entropy(flat(x.t()).flatten(0, 1), y.t().flatten())), inner + ["head.weight", "head.bias"],
                    time_first=True)
    net, masked = Tokens(), y.clone()
    masked[torch.rand(5, 7) < 0.4] = -100
    masked[3] = -100
    counted, total = int((masked >= 0).any(1).sum()), int((masked >= 0).sum())

    def forward():
        losses = F.cross_entropy(net(x).flatten(0, 1), masked.flatten(), reduction="none")
        return dict(loss=losses.sum() / total, losses=losses, t=7, weight=(masked >= 0).float())

    got = step_of(net, [(5, forward)], reduction=pitot.MEAN_TERMS)
    kept = [i for i in range(5) if i != 3]
    want = by_samples(net, lambda net, i: F.cross_entropy(net(x[kept[i]:kept[i] + 1])[0], masked[kept[i]], reduction="sum") / total, counted,
                      inner + ["head.weight", "head.bias"])
    want["sample_grad_l2", None] = np.insert(want["sample_grad_l2", None], 3, 0)
    compare("ignored tokens, mean over terms", got, want)
    say(not got["errors", None], "ignored tokens: no errors", got["said", None])


@case
def micro_batches():
    torch.manual_seed(7)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 4))
    x, y = random_batch(12, 2, 6, 6)

    def part(a, b, scale=1.0):
        def forward():
            losses = F.cross_entropy(net(x[a:b]), y[a:b], reduction="none")
            return dict(loss=losses.mean(), losses=losses, loss_scale=scale)
        return b - a, forward

    whole = step_of(net, [part(0, 12)])
    three = step_of(net, [part(0, 4), part(4, 8), part(8, 12)])
    three.pop(("noise_scale.interval", None), None)
    same = {k: v for k, v in whole.items() if k[0] not in ("noise_scale.interval", "said", "errors")}
    compare("three micro-batches are one batch", three, same)
    say(not three["errors", None] and ("noise_scale.two_batch.s", None) in three, "three micro-batches: no errors", three["said", None])
    scaled = step_of(net, [part(0, 12, 128.0)])
    whole = {k: v for k, v in whole.items() if k[0] != "said"}
    compare("loss_scale 128", scaled, whole)
    added = step_of(net, [part(0, 4, 3.0), part(4, 8, 3.0), part(8, 12, 3.0)], divide=True)
    compare("loss_scale 3 on divided micro-batches", added, same)
    summed = step_of(net, [(12, lambda: dict(loss=F.cross_entropy(net(x), y, reduction="sum")))], reduction=pitot.SUM)
    compare("a sum", summed, {k: v for k, v in same.items() if k[0] in ("grad_variance", "sample_grad_l2", "mean_gsnr", "noise_scale")})


@case
def curvature_of_micro_batches():
    """Dropout masks of the last micro-batch come back; H is that of its mean loss."""
    torch.manual_seed(8)
    net, here = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Dropout(0.5), nn.Linear(7, 3)), {}
    run = pitot.watch(net, None, probes="hess_max_ev", options="hess_max_ev.tolerance=1e-5")
    run.hvp(lambda: F.cross_entropy(net(here["x"]), here["y"]))
    run.begin(0)
    for k in range(3):
        here["x"], here["y"] = random_batch(6, 5, classes=3)
        state = torch.get_rng_state()
        loss = F.cross_entropy(net(here["x"]), here["y"])
        run.after_forward(6, loss, more=k < 2)
        (loss / 3).backward()
        run.after_backward()
    got = readings(run)
    after = torch.get_rng_state()
    flat = torch.cat([p.detach().reshape(-1) for p in net.parameters()])

    def loss_at(theta):
        torch.set_rng_state(state)
        parts = theta.split([p.numel() for p in net.parameters()])
        parts = {k: v.view(p.shape) for v, (k, p) in zip(parts, net.named_parameters())}
        return F.cross_entropy(nn.utils.stateless.functional_call(net, parts, here["x"]), here["y"])
    ev = np.linalg.eigvalsh(torch.autograd.functional.hessian(loss_at, flat).double().numpy())
    torch.set_rng_state(after)
    compare("curvature of the last micro-batch, with its masks", got, {("hess_max_ev", None): ev[-1], ("hess_max_ev.min", None): ev[0]}, 1e-3)
    run.after_update()
    run.close()


@case
def carried_gradients():
    """Gradients that are never cleared: a step's is what it adds, for differences of gradients, too."""
    torch.manual_seed(12)
    net = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4))
    x, y = random_batch(8, 5)
    clean = step_of(net, [(8, lambda: dict(loss=F.cross_entropy(net(x), y)))], "grad,noise_scale,hess_max_ev",
                    lambda: F.cross_entropy(net(x), y), options="hess_max_ev.tolerance=1e-4")
    run = pitot.watch(net, None, probes="grad,noise_scale,hess_max_ev", flags=pitot.CARRIED, options="hess_max_ev.tolerance=1e-4")

    def grad(call):
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        call.loss = loss.item()
    run.callbacks(grad=grad)
    for p in net.parameters():
        p.grad = torch.randn_like(p)
    run.begin(0)
    loss = F.cross_entropy(net(x), y)
    run.after_forward(8, loss)
    loss.backward()
    kept = [p.grad.clone() for p in net.parameters()]
    run.after_backward()
    got = readings(run)
    say(all(torch.equal(p.grad, k) for p, k in zip(net.parameters(), kept)) and not run.last_error(), "gradients with a past stay", run.last_error())
    for probe, near in (("grad", NEAR), ("noise_scale", NEAR), ("hess_max_ev", 1e-2)):
        compare("gradients with a past: " + probe, got, {k: v for k, v in clean.items() if k[0] == probe}, near)
    run.close()


@case
def loops():
    torch.manual_seed(9)
    net = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4))
    x, y = random_batch(8, 5)
    optimizer, off, ran = torch.optim.SGD(net.parameters(), 0.1), [], []
    run = pitot.watch(net, None, probes="grad_norm,update_size,noise_scale@10")
    taken = pitot.Run._returned
    pitot.Run._returned = lambda self, *a: (ran.append(step), taken(self, *a))[1] and None
    for step in range(25):
        due = run.begin(step)
        with torch.no_grad():
            net(x)  # an evaluation inside a step
        loss = F.cross_entropy(net(x), y)
        run.after_forward(8, loss)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        run.after_backward()
        before = [p.detach().clone() for p in net.parameters()]
        norm = math.sqrt(sum(float((p.grad.double() ** 2).sum()) for p in net.parameters()))
        optimizer.step()
        run.after_update(0.1)
        size = math.sqrt(sum(float(((p.double() - b.double()) ** 2).sum()) for p, b in zip(net.parameters(), before)))
        off += [abs(run.value("grad_norm") / norm - 1), abs(run.value("update_size") / size - 1)]
    pitot.Run._returned = taken
    say(max(off) < 1e-5 and not run.last_error(), "gradients that move (set_to_none)", (max(off), run.last_error()))
    say(ran == [0, 0, 10, 10, 20, 20], "captures only when due", ran)
    say(not run._kept, "nothing is kept after the update", len(run._kept))
    clone, stored = copy.deepcopy(net), pickle.loads(pickle.dumps(net))
    run.begin(30)
    n = len(run._kept)
    clone(x).sum().backward()
    stored(x).sum().backward()
    say(len(run._kept) == n and torch.equal(clone(x), net(x)), "copies of the net are not watched", len(run._kept))
    run.close()
    say(not net[0]._forward_hooks and not net._forward_pre_hooks, "close takes the hooks away")
    results = [run.begin(3), run.after_forward(8, loss), run.after_backward(), run.after_update(0.1), run.scalar("a", 1), run.callbacks(hvp=print),
               run.hvp(print), run.close()]
    say(not any(results) and math.isnan(run.value("loss")) and run.report() == "" and run.last_error() == "", "after close nothing happens", results)


@case
def sums():
    """What captures add up to is compared with the gradient, however little of it is left."""
    torch.manual_seed(13)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(256, 4))
    x, y = random_batch(64, 2, 8, 8)
    part = [(64, lambda: dict(loss=F.cross_entropy(net(x), y)))]
    got = step_of(net, part)
    say(not got["errors", None] and ("sample_grad_l2", None) in got, "a bias before batch normalisation", got["said", None])
    taken = pitot.Run._returned
    for name, wrong in (("by 1 %", lambda g: 1.01 * g), ("by order", lambda g: g.roll(1, 0)),
                        ("by one sample", lambda g: torch.cat([g[:-1], torch.zeros_like(g[:1])]))):
        pitot.Run._returned = lambda self, layer, a, g, wrong=wrong: taken(self, layer, a, wrong(g))
        got = step_of(net, part)
        say(got["errors", None] == 1 and "times its gradient" in got["said", None], "wrong captures are found: " + name, got["said", None])
    run, seen = pitot.watch(net, None, probes="noise_scale"), []
    for step in range(3):
        run.begin(step)
        loss = F.cross_entropy(net(x), y)
        run.after_forward(64, loss)
        net.zero_grad()
        loss.backward()
        run.after_backward()
        run.after_update()
        seen.append(run.value("noise_scale"))
    say(all(map(math.isnan, seen)) and "noise_scale      off: captures of" in run.report(), "and give no values at later steps", (seen, run.report()))
    run.close()
    pitot.Run._returned = taken


@case
def types():
    torch.manual_seed(10)
    net = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4)).bfloat16()
    x, y = random_batch(8, 5)
    x = x.bfloat16()
    got = step_of(net, [(8, lambda: dict(loss=F.cross_entropy(net(x).float(), y)))])
    want = {("grad_norm", k): float(p.grad.double().norm()) for k, p in net.named_parameters()}
    compare("a bfloat16 net", got, want)
    say(not got["errors", None] and got["covered", None] == 1, "a bfloat16 net: captures", got["said", None])
    with_autocast = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4))

    def forward():
        with torch.autocast("cpu", torch.bfloat16):
            return dict(loss=F.cross_entropy(with_autocast(x.float()).float(), y))
    got = step_of(with_autocast, [(8, forward)])
    say(not got["errors", None] and got["covered", None] == 1, "autocast", got["said", None])
    sparse = nn.Sequential(nn.Embedding(9, 4, sparse=True), nn.Linear(4, 3))
    tokens, classes = torch.randint(0, 9, (6,)), torch.randint(0, 3, (6,))
    got = step_of(sparse, [(6, lambda: dict(loss=F.cross_entropy(sparse(tokens), classes)))])
    compare("a sparse gradient", got, {("grad_norm", "0.weight"): float(sparse[0].weight.grad.to_dense().norm())})


@case
def refusals():
    torch.manual_seed(11)
    net = nn.Linear(3, 2)
    x, y = random_batch(4, 3, classes=2)
    folder = os.path.join(WORK, "twice")
    run = pitot.watch(net, folder)
    run.begin(0)
    run.close()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        run = pitot.watch(net, folder)
    say(len(seen) == 1 and "there is a run in it" in str(seen[0].message) and "there is a run in it" in run.last_error(),
        "a folder that is taken warns", [str(w.message) for w in seen])
    run.begin(0)
    loss = F.cross_entropy(net(x), y)
    run.after_forward(4, loss)
    loss.backward()
    run.after_backward()
    run.after_update(0.1)
    say(run.due == 0 and math.isnan(run.value("loss")), "and the run does nothing")
    run.close()
    run = pitot.watch(net, None, probes="loss,individual_losses")
    run.begin(0)
    try:
        run.after_forward(4, loss, torch.ones(3))
        say(False, "too few losses are refused", "no exception")
    except ValueError as e:
        say("3 values" in str(e), "too few losses are refused", e)
    run.close()


def python(code, **environment):
    done = subprocess.run([sys.executable, "-c", code], cwd=EXAMPLES, env=dict(os.environ, **environment), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


@case
def library():
    for name, path in (("a library that is not there", "/nonexistent/libpitot.so"), ("a library of something else", "libm.so.6")):
        status, text = python("import pitot", PITOT_LIBRARY=path)
        say(status != 0 and "ImportError: pitot: no library of ABI" in text and "PITOT_LIBRARY" in text, name, text[-300:])
    double = os.environ["PITOT_LIBRARY"].replace("libpitot.so", "libpitot_d.so")
    if os.path.exists(double):
        status, text = python("""
import pitot, torch
net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3)).double()
x, y = torch.randn(9, 4).double(), torch.randint(0, 3, (9,))
run = pitot.watch(net, None, probes="grad_norm,noise_scale,hess_max_ev")
run.hvp(lambda: torch.nn.functional.cross_entropy(net(x), y))
run.begin(0)
loss = torch.nn.functional.cross_entropy(net(x), y)
run.after_forward(9, loss); loss.backward(); run.after_backward(); run.after_update()
norm = torch.cat([p.grad.reshape(-1) for p in net.parameters()]).norm().item()
print(abs(run.value("grad_norm") / norm - 1) < 1e-14, run.value("hess_max_ev") > 0, run.value("noise_scale") > 0, run.last_error() == "")""",
                              PITOT_LIBRARY=double)
        say(text.split() == ["True"] * 4, "the library in double", text)
    source, program = os.path.join(WORK, "sizes.c"), os.path.join(WORK, "sizes")
    names = ["config", "param", "batch", "capture", "call", "callbacks"]
    with open(source, "w") as out:
        out.write('#include "pitot/hooks.h"\n#include <stdio.h>\nint main(void) { printf("%zu ' + "%zu " * 5 + '%d", ' +
                  ", ".join("sizeof(pitot_%s)" % n for n in names) + ", PITOT_ABI); return 0; }\n")
    if subprocess.run(["cc", "-I", os.path.join(ROOT, "include"), source, "-o", program], stderr=subprocess.DEVNULL).returncode == 0:
        sizes = [int(s) for s in subprocess.run([program], stdout=subprocess.PIPE, check=True).stdout.split()]
        say(sizes == [ctypes.sizeof(getattr(pitot, n.capitalize())) for n in names] + [pitot.ABI], "structs are as large as in C", sizes)


@case
def example():
    path = os.path.join(EXAMPLES, "attach_pytorch.py")
    with open(path) as file:
        lines = [line.rstrip() for line in file]
    first, second = sum(l.endswith("# pitot") for l in lines), sum(l.endswith("# pitot 2") for l in lines)
    used = [l for l in lines if ("pitot." in l or "run." in l) and not l.startswith(("import", '"""', "end")) and "print" not in l]
    say(first <= 7 and second <= 7 and all("# pitot" in l for l in used), "lines added: %d and %d" % (first, second), used)
    begin = time.monotonic()
    folder = os.path.join(WORK, "example")
    done = subprocess.run([sys.executable, path, folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=120)
    took = time.monotonic() - begin
    numbers = [l.split()[-1] for l in done.stdout.splitlines()]
    say(done.returncode == 0 and not done.stderr and len(numbers) == 9 and all(math.isfinite(float(n)) for n in numbers), "the example runs",
        done.stdout[-200:] + done.stderr[-300:])
    say(took < 15, "the example takes less than 15 s", "%.1f s" % took)
    with open(os.path.join(folder, "events.jsonl")) as file:
        records = [json.loads(l) for l in file]
    steps = [r for r in records if "loss" in r]
    say(len(steps) == 60 and sum("hess_max_ev" in r for r in records) == 6 and records[-1].get("end") == "done", "its log is complete", len(steps))


for function in CASES:
    try:
        function()
    except Exception as e:  # a case that cannot go on
        import traceback
        say(False, function.__name__, "%s: %s %s" % (type(e).__name__, e, traceback.format_exc().splitlines()[-4:]))
sys.exit(1 if failures else 0)
