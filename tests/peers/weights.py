"""Weights between PyTorch and files: just enough of the safetensors format, float32 alone."""

import json
import struct

import numpy as np
import torch


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, t in tensors.items():
        header[name] = dict(dtype="F32", shape=list(t.shape), data_offsets=[at, at + 4 * t.numel()])
        at += 4 * t.numel()
    text = json.dumps(header).encode()
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for t in tensors.values():
            out.write(t.detach().numpy().astype("<f4").tobytes())


def read_safetensors(path):
    with open(path, "rb") as file:
        image = file.read()
    size = struct.unpack("<Q", image[:8])[0]
    out = {}
    for name, entry in json.loads(image[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            out[name] = torch.from_numpy(np.frombuffer(image[8 + size + begin:8 + size + end], "<f4").copy()).reshape(entry["shape"])
    return out
