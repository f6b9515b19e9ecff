"""The networks of Table 1 and of the field in PyTorch, and one training step, as its users write
them.

For `benchmark.py --against torch`. Symmetric: autograd's own backward. Asymmetric: a Function with
V for each weighted layer, V = M ∘ sign(W) taken anew after each update (frSF).
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

VARIANTS = ("eager", "channels_last", "asymmetric", "asymmetric_channels_last", "compile")


class AsymmetricConv(torch.autograd.Function):
    """Convolution whose backward goes through V."""

    @staticmethod
    def forward(ctx, X, W, b, V, stride, padding):
        ctx.save_for_backward(X, W, V)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(X, W, b, stride, padding)

    @staticmethod
    def backward(ctx, dN):
        X, W, V = ctx.saved_tensors
        dX = None
        if ctx.needs_input_grad[0]:
            dX = conv2d_input(X.shape, V, dN, ctx.stride, ctx.padding)
        dW = conv2d_weight(X, W.shape, dN, ctx.stride, ctx.padding)
        db = dN.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return dX, dW, db, None, None, None


class AsymmetricLinear(torch.autograd.Function):
    """Matrix product whose backward goes through V."""

    @staticmethod
    def forward(ctx, X, W, b, V):
        ctx.save_for_backward(X, V)
        return F.linear(X, W, b)

    @staticmethod
    def backward(ctx, dN):
        X, V = ctx.saved_tensors
        dX = dN @ V if ctx.needs_input_grad[0] else None
        return dX, dN.T @ X, dN.sum(0) if ctx.needs_input_grad[2] else None, None


class Weighted(nn.Module):
    """A convolution or linear layer, with feedback weights of its own if `asymmetric`."""

    def __init__(self, inner, asymmetric):
        super().__init__()
        self.inner, self.asymmetric = inner, asymmetric
        if asymmetric:
            self.register_buffer("M", torch.rand_like(inner.weight))
            self.register_buffer("V", torch.copysign(self.M, inner.weight.detach()))

    def forward(self, X):
        layer = self.inner
        if not self.asymmetric:
            return layer(X)
        if isinstance(layer, nn.Linear):
            return AsymmetricLinear.apply(X, layer.weight, layer.bias, self.V)
        return AsymmetricConv.apply(
            X, layer.weight, layer.bias, self.V, layer.stride, layer.padding
        )

    def refresh(self):
        torch.copysign(self.M, self.inner.weight.detach(), out=self.V)


def network(name, classes, bn, asymmetric):
    """Return the network: conv → BN → ReLU → pool, no bias where BN follows."""
    layers, features = [], {"mnist": 1, "timit": 1845}.get(name, 3)

    def conv(size, out, pool, stride=1, padding=0):
        nonlocal features
        inner = nn.Conv2d(features, out, size, stride, padding, bias=not bn)
        layers.append(Weighted(inner, asymmetric))
        layers.extend([nn.BatchNorm2d(out, eps=1e-4, affine=False)] if bn else [])
        layers.extend([nn.ReLU(), pool])
        features = out

    def fc(inputs, out, last=False):
        inner = nn.Linear(inputs, out, bias=last or not bn)
        layers.append(Weighted(inner, asymmetric))
        if not last:
            layers.extend([nn.BatchNorm1d(out, eps=1e-4, affine=False)] if bn else [])
            layers.append(nn.ReLU())

    def head(*sizes):
        if len(layers) > 0:
            layers.append(nn.Flatten())
        for k, pair in enumerate(pairwise(sizes)):
            fc(*pair, last=k == len(sizes) - 2)

    halves = nn.MaxPool2d(2)
    if name == "mnist":
        conv(5, 20, halves)
        conv(5, 50, halves)
        head(800, 500, classes)
    elif name == "cifar":
        conv(5, 32, nn.MaxPool2d(3, 2, ceil_mode=True), padding=2)
        conv(5, 64, nn.AvgPool2d(3, 2, ceil_mode=True), padding=2)
        conv(5, 64, nn.AvgPool2d(3, 2, ceil_mode=True), padding=2)
        head(1024, 128, classes)
    elif name == "svhn":
        conv(5, 20, halves)
        conv(7, 512, halves)
        head(8192, 40, classes)
    elif name == "image119":
        conv(9, 48, halves, stride=2)
        conv(5, 128, halves)
        head(18432, max(256, classes * 3), classes * 2, classes)
    elif name == "lenet-cifar":
        conv(3, 32, halves)
        conv(3, 64, halves)
        conv(3, 128, nn.AvgPool2d(4))
        head(128, 256, classes)
    elif name.startswith("resnet"):
        return resnet((int(name.split("-")[1]) - 2) // 6, classes, bn, asymmetric)
    else:
        head(1845, 512, 256, classes)
    return nn.Sequential(*layers)


def resnet(blocks, classes, bn, asymmetric):
    """Return the ResNet of three stages of blocks, with 1×1 shortcuts where the size changes."""

    def conv(features, out, size, stride=1):
        inner = nn.Conv2d(features, out, size, stride, size // 2, bias=not bn)
        norm = [nn.BatchNorm2d(out, eps=1e-4, affine=False)] if bn else []
        return [Weighted(inner, asymmetric), *norm]

    layers, features = [*conv(3, 16, 3), nn.ReLU()], 16
    for out in (16, 32, 64):
        for k in range(blocks):
            stride = 2 if k == 0 and out > 16 else 1
            branch = [*conv(features, out, 3, stride), nn.ReLU(), *conv(out, out, 3)]
            shortcut = conv(features, out, 1, stride) if stride > 1 else []
            layers += [Sum(branch, shortcut), nn.ReLU()]
            features = out
    last = Weighted(nn.Linear(64, classes), asymmetric)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)


class Sum(nn.Module):
    """What a branch adds to a shortcut."""

    def __init__(self, branch, shortcut):
        super().__init__()
        self.branch, self.shortcut = nn.Sequential(*branch), nn.Sequential(*shortcut)

    def forward(self, X):
        return self.branch(X) + self.shortcut(X)


class Step:
    """One training step on a batch X (B, H, W, C) with labels, Eq. 3's Setting 0 or 1.

    place  "cpu", or "cuda": there a variant that ends in "graph" is one CUDA graph
    """

    def __init__(
        self, name, classes, X, labels, *, bn, bm, variant, threads=1, place="cpu", tf32=False
    ):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = True
        net = network(name, classes, bn, variant.startswith("asymmetric")).to(place)
        self.X, self.labels = torch.from_numpy(X).to(place), torch.from_numpy(labels).to(place)
        self.bm = bm
        if X.ndim == 4:
            self.X = self.X.permute(0, 3, 1, 2).contiguous()
            if "channels_last" in variant:
                net = net.to(memory_format=torch.channels_last)
                self.X = self.X.contiguous(memory_format=torch.channels_last)
        found = [layer for layer in net.modules() if isinstance(layer, Weighted)]
        self.feedback = [layer for layer in found if layer.asymmetric]
        self.optimizer = torch.optim.SGD(net.parameters(), lr=5e-6, momentum=0.9, weight_decay=5e-4)
        self.parameters = list(net.parameters())
        self.net = torch.compile(net) if variant == "compile" else net
        self.graph = self.record() if variant.endswith("graph") else None

    def __call__(self):
        if self.graph is None:
            self.launch()
        else:
            self.graph.replay()

    def record(self):
        """Return the step as a CUDA graph, after some steps on a stream aside."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                self.launch()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.launch()
        return graph

    def launch(self):
        self.optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(self.net(self.X), self.labels).backward()
        if self.bm:
            torch._foreach_sign_([parameter.grad for parameter in self.parameters])
        self.optimizer.step()
        for layer in self.feedback:
            layer.refresh()
