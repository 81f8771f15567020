# SPDX-License-Identifier: Apache-2.0
"""PyTorch as a user has it: matrix products, a transformer block, decoding, allocator churn.

    torch_steps.py gemm             a tenant like `gpu flood`: 8192^3 bf16 products until told to stop
    torch_steps.py steps SECONDS    "NAME ms ms ms ..." a line, about SECONDS each

Random weights, no files, no network. Needs a real card.
"""
import select
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

WIDTH, HEADS, LAYERS = 4096, 32, 8
IN_FLIGHT = 16


def gemm():
    """Finished products are counted by the events behind them; one product is one chunk."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    c = torch.empty_like(a)
    for _ in range(5):
        torch.mm(a, b, out=c)
    torch.cuda.synchronize()
    events, finished, samples = [], 0, []
    print("ready", flush=True)
    sys.stdin.readline()
    while not select.select([sys.stdin], [], [], 0)[0]:
        torch.mm(a, b, out=c)
        event = torch.cuda.Event()
        event.record()
        events.append(event)
        if len(events) >= IN_FLIGHT:
            events[0].synchronize()
        while events and events[0].query():
            events.pop(0)
            finished += 1
            samples.append((time.monotonic_ns(), finished))
    torch.cuda.synchronize()
    for at, n in samples:
        print("sample", at, n)


class Block(nn.Module):
    """One pre-norm transformer block; with a cache it decodes one token."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x, cache=None):
        batch, length, _ = x.shape
        q, k, v = (t.view(batch, length, HEADS, -1).transpose(1, 2) for t in self.qkv(self.norm1(x)).chunk(3, -1))
        if cache is not None:
            k, v = torch.cat((cache[0], k), 2), torch.cat((cache[1], v), 2)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=cache is None)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, WIDTH))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def time_steps(name, step, seconds):
    """Prints the times of the single steps, each to its completion, after a fifth of the time as warm-up."""
    warm = time.monotonic() + seconds / 5
    while time.monotonic() < warm:
        step()
        torch.cuda.synchronize()
    took, end = [], time.monotonic() + seconds * 0.8
    while time.monotonic() < end:
        begin = time.perf_counter()
        step()
        torch.cuda.synchronize()
        took.append(1e3 * (time.perf_counter() - begin))
    print(name, *(f"{t:.4f}" for t in took), flush=True)


def train(seconds):
    block = Block().cuda().bfloat16()
    x = torch.randn(4, 1024, WIDTH, device="cuda", dtype=torch.bfloat16)

    def step():
        block.zero_grad(set_to_none=True)
        block(x).square().mean().backward()

    time_steps("train-block", step, seconds)


@torch.no_grad()
def decode(seconds):
    blocks = nn.ModuleList(Block() for _ in range(LAYERS)).cuda().bfloat16()
    token = torch.randn(1, 1, WIDTH, device="cuda", dtype=torch.bfloat16)
    cache = torch.randn(2, 1, HEADS, 512, WIDTH // HEADS, device="cuda", dtype=torch.bfloat16)

    def step():
        x = token
        for block in blocks:
            x = block(x, cache)
        return x

    time_steps("decode-eager", step, seconds)
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    time_steps("decode-graph", graph.replay, seconds)


def churn(seconds):
    """Allocations that leave PyTorch's cache, as a program with growing shapes makes them."""
    def step():
        kept = [torch.empty((i + 1) << 21, device="cuda", dtype=torch.uint8) for i in range(8)]
        del kept
        torch.cuda.empty_cache()

    time_steps("churn", step, seconds)


def main():
    torch.manual_seed(1)
    if sys.argv[1:2] == ["gemm"]:
        gemm()
    elif sys.argv[1:2] == ["steps"] and len(sys.argv) == 3:
        for part in (train, decode, churn):
            part(float(sys.argv[2]))
            torch.cuda.empty_cache()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
