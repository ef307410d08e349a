#!/usr/bin/env python3
"""bench_torch_limits.py [name=value …]: what the card can do, by PyTorch: the ceilings that the targets are parts of.

A product of two bf16 matrices of random numbers (a device computes zeros faster), n=8192 each way, and a copy on the device
of mib=1024 MiB, which reads and writes; the best of 5 rounds of 4. device=cuda; what else is given for its siblings is passed
over. Prints one line of JSON.
"""
import json
import sys
import time

import torch

s = dict(n=8192, mib=1024, device="cuda")
for a in sys.argv[1:]:
    k, v = a.split("=")
    s[k] = v if k == "device" else int(v)
device, n = s["device"], s["n"]


def seconds(run):
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(4):
            run()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - began) / 4)
    return best


torch.manual_seed(1)
a, b = (torch.randn(n, n, device=device).to(torch.bfloat16) for _ in range(2))
c = torch.empty(n, n, dtype=torch.bfloat16, device=device)
x = torch.randn(s["mib"] << 18, device=device)
y = torch.empty_like(x)
product, copy = seconds(lambda: torch.matmul(a, b, out=c)), seconds(lambda: y.copy_(x))
print(json.dumps({"engine": "torch", "n": n, "matmul_tflop_per_s": round(2 * n**3 / product / 1e12, 3),
                  "copy_gb_per_s": round(8 * x.numel() / copy / 1e9, 1)}))
