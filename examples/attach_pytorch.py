"""A PyTorch training loop of somebody's own, a small conv net on generated pictures, with probes on it. The lines that pitot adds end
in "# pitot", those for curvature in "# pitot 2". Prints the loss now and then, and what pitot saw; the log is in runs/pytorch, or in
the folder that is the argument."""
import math
import sys

import torch
import torch.nn.functional as F
from torch import nn

import pitot  # pitot

BATCH, STEPS, LR = 64, 60, 0.1
CURVES = ((1, 0), (0, 1), (1, 1), (1, -1))  # the classes: waves in four directions


def pictures(n, generator):
    y = torch.randint(len(CURVES), (n,), generator=generator)
    phase, noise = (torch.rand(n, 1, 1, generator=generator), torch.randn(n, 16, 16, generator=generator))
    row, column = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    a, b = torch.tensor(CURVES, dtype=torch.float32)[y].view(n, 2, 1, 1).unbind(1)
    return (torch.sin(2 * math.pi * ((a * row + b * column) / 6 + phase)) + 0.7 * noise).unsqueeze(1), y


torch.manual_seed(1)
generator = torch.Generator().manual_seed(2)
net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
                    nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, len(CURVES)))
optimizer = torch.optim.SGD(net.parameters(), LR)
folder = sys.argv[1] if len(sys.argv) > 1 else "runs/pytorch"

run = pitot.watch(net, folder, probes="loss,noise_scale,mean_gsnr,hess_max_ev@10", optimizer="sgd")  # pitot
run.hvp(lambda: F.cross_entropy(net(x), y))  # pitot 2
for step in range(STEPS):
    x, y = pictures(BATCH, generator)
    run.begin(step)  # pitot
    loss = F.cross_entropy(net(x), y)
    run.after_forward(len(x), loss)  # pitot
    optimizer.zero_grad()
    loss.backward()
    run.after_backward()  # pitot
    optimizer.step()
    run.after_update(LR)  # pitot
    if step % 10 == 0:
        print("step %d  loss %.4f" % (step, loss.item()))
for name in ("noise_scale", "mean_gsnr", "hess_max_ev"):
    print("%s %.4g" % (name, run.value(name)))
run.close()  # pitot
