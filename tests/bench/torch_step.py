"""Time of PyTorch's training step (forward, backward, SGD update) on the net of a model file: torch_step.py MODEL BATCH THREADS SECONDS.
Prints milliseconds: median, least."""
import json
import sys
import time

import torch
import torch.nn as nn


def build(model):
    shape, layers = model["input"], []
    with torch.no_grad():
        x = torch.zeros(1, *shape)
        for layer in model["layers"]:
            op = layer["op"]
            if op == "conv2d":
                m = nn.Conv2d(x.shape[1], layer["out_channels"], layer["kernel"], padding=layer.get("padding", 0))
            elif op == "max_pool2d":
                m = nn.MaxPool2d(layer["kernel"], layer.get("stride", layer["kernel"]), ceil_mode=layer.get("ceil_mode", False))
            elif op == "linear":
                m = nn.Linear(x.shape[1], layer["out_features"])
            else:
                m = {"relu": nn.ReLU(inplace=True), "flatten": nn.Flatten()}[op]
            x = m(x)
            layers.append(m)
    return nn.Sequential(*layers)


def main():
    model, batch, threads, seconds = json.load(open(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net, loss = build(model), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    x, y = torch.rand(batch, *model["input"]) * 2 - 1, torch.arange(batch) % 10
    times, warm, end = [], 3, time.perf_counter() + seconds
    while time.perf_counter() < end or not times:
        t = time.perf_counter()
        optimizer.zero_grad()
        loss(net(x), y).backward()
        optimizer.step()
        warm -= 1
        if warm < 0:
            times.append(time.perf_counter() - t)
    times.sort()
    print("%.4f %.4f" % (1e3 * times[len(times) // 2], 1e3 * times[0]))


if __name__ == "__main__":
    main()
