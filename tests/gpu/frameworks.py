#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Programs of real frameworks, natively and through the mediator, with the same seeds.

  frameworks.py --mediator "build/mediator/run/vgpu-run --gpu=nvidia --" [--out FILE] [--repeat N] [CASE...]
  frameworks.py --case NAME          runs one case in this process and prints its JSON

Each case prints a digest of its results and the time of its steady part. Results must agree within the
case's tolerance; times are compared as a ratio. A framework that is not installed is skipped by name.
Prints a table and `N passed, N failed`.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time

CASES = {}


def case(tolerance, needs):
    def add(function):
        CASES[function.__name__] = (function, tolerance, needs)
        return function
    return add


def timed(step, sync, warm=10, runs=50):
    """Median milliseconds of one step."""
    for _ in range(warm):
        step()
    sync()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        step()
        sync()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def torch_setup(seed=1):
    import torch
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(False)
    return torch, torch.device("cuda")


def digest(tensor):
    t = tensor.detach().double().flatten()
    return [t.sum().item(), t.abs().mean().item(), t[0].item(), t[-1].item()]


@case(1e-3, "torch")
def torch_item():
    torch, device = torch_setup()
    z = torch.arange(8, device=device, dtype=torch.float32)
    ms = timed(lambda: (z.sum() + 1).item(), lambda: None, runs=200)
    return digest(z + 1), ms


@case(1e-3, "torch")
def torch_small_add():
    torch, device = torch_setup()
    z = torch.zeros(1024, device=device)

    def step():
        for _ in range(1000):
            z.add_(1)
    ms = timed(step, torch.cuda.synchronize, warm=2, runs=10)
    return digest(z), ms


def matmul(dtype, n=4096):
    torch, device = torch_setup()
    a = torch.randn(n, n, device=device).to(dtype)
    b = torch.randn(n, n, device=device).to(dtype)
    c = a @ b
    ms = timed(lambda: torch.mm(a, b), torch.cuda.synchronize, runs=30)
    return digest(c.float()[:64]), ms


@case(1e-3, "torch")
def torch_matmul_fp32():
    import torch
    return matmul(torch.float32)


@case(1e-2, "torch")
def torch_matmul_bf16():
    import torch
    return matmul(torch.bfloat16)


@case(1e-2, "torch")
def torch_matmul_fp16():
    import torch
    return matmul(torch.float16)


@case(1e-2, "torch")
def torch_mlp_training():
    torch, device = torch_setup()
    model = torch.nn.Sequential(torch.nn.Linear(1024, 4096), torch.nn.ReLU(), torch.nn.Linear(4096, 10)).to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    x = torch.randn(256, 1024, device=device)
    y = torch.randint(0, 10, (256,), device=device)
    losses = []

    def step():
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimiser.step()
        losses.append(loss)
    ms = timed(step, torch.cuda.synchronize)
    return [losses[0].item(), losses[-1].item()], ms


@case(5e-2, "torch torchvision")
def torch_resnet18_training():
    torch, device = torch_setup()
    import torchvision
    model = torchvision.models.resnet18().to(device)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
    x = torch.randn(32, 3, 224, 224, device=device)
    y = torch.randint(0, 1000, (32,), device=device)
    losses = []

    def step():
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimiser.step()
        losses.append(loss)
    ms = timed(step, torch.cuda.synchronize, warm=5, runs=20)
    return [losses[0].item()], ms


@case(1e-6, "torch transformers")
def torch_gpt2_generation():
    torch, device = torch_setup()
    from transformers import GPT2Config, GPT2LMHeadModel
    model = GPT2LMHeadModel(GPT2Config()).half().to(device).eval()
    prompt = torch.randint(0, 50000, (1, 16), device=device)

    def step():
        with torch.no_grad():
            return model.generate(prompt, max_new_tokens=64, min_new_tokens=64, do_sample=False, pad_token_id=0)
    tokens = step()
    ms = timed(step, torch.cuda.synchronize, warm=1, runs=5)
    return [float(tokens.shape[1])], ms


@case(2e-2, "torch")
def torch_attention():
    torch, device = torch_setup()
    q, k, v = (torch.randn(4, 16, 512, 64, device=device, dtype=torch.float16) for _ in range(3))
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    ms = timed(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True), torch.cuda.synchronize)
    return digest(out.float()), ms


@case(1e-3, "torch triton")
def torch_compile():
    torch, device = torch_setup()

    def f(x, y):
        return torch.sin(x) * y + torch.sqrt(torch.abs(x)) / (1 + y * y)
    g = torch.compile(f)
    x, y = torch.randn(1 << 20, device=device), torch.randn(1 << 20, device=device)
    ms = timed(lambda: g(x, y), torch.cuda.synchronize)
    return digest(g(x, y)), ms


@case(1e-3, "torch")
def torch_graph():
    torch, device = torch_setup()
    x = torch.randn(1024, 1024, device=device)
    w = torch.randn(1024, 1024, device=device) / 32
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            y = torch.relu(x @ w)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = x
        for _ in range(10):
            y = torch.relu(y @ w)
    graph.replay()
    ms = timed(graph.replay, torch.cuda.synchronize)
    return digest(y), ms


@case(0, "torch")
def torch_pinned():
    torch, device = torch_setup()
    host = torch.arange(1 << 22, dtype=torch.int32).pin_memory()
    back = torch.empty_like(host).pin_memory()

    def step():
        d = host.to(device, non_blocking=True)
        d += 1
        back.copy_(d, non_blocking=True)
    ms = timed(step, torch.cuda.synchronize)
    torch.cuda.synchronize()
    return [float(back.double().sum())], ms


@case(1e-4, "torch")
def torch_streams():
    torch, device = torch_setup()
    streams = [torch.cuda.Stream() for _ in range(4)]
    parts = [torch.randn(1 << 20, device=device) for _ in streams]
    torch.cuda.synchronize()

    def step():
        for stream, part in zip(streams, parts):
            with torch.cuda.stream(stream):
                part.mul_(0.5).add_(1)
    ms = timed(step, torch.cuda.synchronize)
    return [float(p.double().sum()) for p in parts], ms


@case(1e-3, "torch")
def torch_dataloader():
    torch, device = torch_setup()
    data = torch.utils.data.TensorDataset(torch.arange(4096, dtype=torch.float32))
    total = 0.0
    start = time.perf_counter()
    for (batch,) in torch.utils.data.DataLoader(data, batch_size=256, num_workers=2, pin_memory=True):
        total += batch.to(device, non_blocking=True).sum().item()
    return [total], 1e3 * (time.perf_counter() - start)


@case(1e-2, "torch")
def torch_fft_solve():
    torch, device = torch_setup()
    x = torch.randn(1 << 16, device=device)
    a = torch.randn(256, 256, device=device, dtype=torch.float64) + 16 * torch.eye(256, device=device)
    b = torch.randn(256, 8, device=device, dtype=torch.float64)
    sparse = (a.abs() > 2).float().to_sparse_csr()
    ms = timed(lambda: torch.fft.fft(x), torch.cuda.synchronize)
    return (digest(torch.fft.fft(x).abs()) + digest(torch.linalg.solve(a, b))
            + digest(sparse @ torch.ones(256, 1, device=device))), ms


@case(0, "torch")
def torch_out_of_memory():
    torch, device = torch_setup()
    try:
        torch.empty(1 << 50, dtype=torch.uint8, device=device)
        return [1.0], 0
    except torch.cuda.OutOfMemoryError:
        pass
    return digest(torch.ones(1024, device=device) * 2), 0


@case(1e-3, "cupy")
def cupy_mix():
    import cupy
    rng = cupy.random.default_rng(3)
    a = rng.standard_normal((512, 512), dtype=cupy.float32)
    kernel = cupy.ElementwiseKernel("float32 x", "float32 y", "y = x * x + 1", "square_one")
    b = kernel(a) @ a
    ms = timed(lambda: kernel(a) @ a, cupy.cuda.Stream.null.synchronize)
    return [float(b.sum()), float(cupy.linalg.norm(a)), float(cupy.fft.fft(a[0]).real.sum())], ms


@case(1e-3, "jax")
def jax_mix():
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax
    import jax.numpy as jnp
    key = jax.random.PRNGKey(0)
    w = jax.random.normal(key, (256, 256))
    x = jax.random.normal(key, (64, 256))
    loss = jax.jit(lambda w, x: jnp.mean(jnp.tanh(x @ w) ** 2))
    grad = jax.jit(jax.grad(lambda w, x: jnp.mean(jnp.tanh(x @ w) ** 2)))
    ms = timed(lambda: grad(w, x).block_until_ready(), lambda: None)
    return [float(loss(w, x)), float(jnp.abs(grad(w, x)).sum())], ms


@case(1e-6, "numba")
def numba_kernel():
    import numpy
    from numba import cuda

    @cuda.jit
    def saxpy(a, x, y, out):
        i = cuda.grid(1)
        if i < x.size:
            out[i] = a * x[i] + y[i]
    x = numpy.arange(100000, dtype=numpy.float32)
    out = numpy.zeros_like(x)
    saxpy[400, 256](2.0, x, x, out)
    return [float(out.sum())], 0


def installed(needs):
    import importlib.util
    return all(importlib.util.find_spec(name) for name in needs.split())


def run(words, name, timeout):
    command = words + [sys.executable, os.path.abspath(__file__), "--case", name]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, check=False,
                              text=True, errors="replace", stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        return None, f"no end after {timeout} s\n{(error.stderr or b'').decode(errors='replace')[-1500:]}"
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("{"):
            return json.loads(line), ""
    refused = [line for line in done.stderr.splitlines() if line.startswith("vgpu:")]
    return None, f"status {done.returncode}\n" + "\n".join(refused[-15:]) + "\n" + done.stderr[-1500:]


def agrees(a, b, tolerance):
    if len(a) != len(b):
        return False
    return all(x == y or abs(x - y) <= tolerance * max(abs(x), abs(y), 1e-6) for x, y in zip(a, b))


def main():
    parser = argparse.ArgumentParser(description="Real frameworks, natively and through the mediator.")
    parser.add_argument("--mediator", help="words before the mediated command")
    parser.add_argument("--case", help="run this one here")
    parser.add_argument("--out", help="write all figures there as JSON")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each, in turns (default: 1)")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one run (default: 120)")
    parser.add_argument("names", nargs="*", metavar="CASE", help=", ".join(CASES))
    options = parser.parse_args()
    if options.case:
        values, ms = CASES[options.case][0]()
        print(json.dumps({"values": values, "ms": ms}))
        return 0
    if not options.mediator:
        parser.error("--mediator is missing")
    words = shlex.split(options.mediator)
    passed = failed = skipped = 0
    report = {}
    print(f"{'case':26} {'native':>11} {'mediated':>11} {'ratio':>6}  result", flush=True)
    for name in options.names or CASES:
        _, tolerance, needs = CASES[name]
        if not installed(needs):
            skipped += 1
            print(f"{name:26} skipped: needs {needs}", flush=True)
            continue
        native, mediated, why = [], [], ""
        for _ in range(options.repeat):
            result, text = run([], name, options.timeout)
            if result is None:
                why = "native run failed: " + text
                break
            native.append(result)
            result, text = run(words, name, options.timeout)
            if result is None:
                why = text
                break
            mediated.append(result)
        if not why and not agrees(native[0]["values"], mediated[0]["values"], tolerance):
            why = f"results differ: {native[0]['values']} natively, {mediated[0]['values']} mediated"
        report[name] = {"native": native, "mediated": mediated, "failure": why}
        if why:
            failed += 1
            print(f"{name:26} FAILED {why}", flush=True)
            continue
        passed += 1
        n = statistics.median(r["ms"] for r in native)
        m = statistics.median(r["ms"] for r in mediated)
        ratio = f"{m / n:6.2f}" if n else "     -"
        print(f"{name:26} {n:8.3f} ms {m:8.3f} ms {ratio}  ok", flush=True)
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
