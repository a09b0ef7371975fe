"""Batch norm over the rows of all processes.

With a batch divided over processes, plain batch norm would normalise each process's rows by themselves, and N processes
would train another network than one. torch's `SyncBatchNorm` shares the statistics on GPUs only; `SharedBatchNorm2d`
does the same on the CPU, so that the equality can be tested (and used) anywhere.

For x of N rows and pixels in all, mean m, variance v, r = 1/sqrt(v + eps) and h = (x - m) r, the gradient is
``dx = w r (dy - sum(dy)/N - h sum(dy h)/N)``, with both sums over all processes (Ioffe and Szegedy 2015,
arXiv:1502.03167). The gradients of scale and shift stay local: they are summed with all others after the backward pass.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn


class _Normalise(torch.autograd.Function):
    """Normalisation by the statistics of all processes; gives back mean, variance and count as well."""

    @staticmethod
    def forward(
        context: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        wide = x if x.dtype == torch.float64 else x.float()
        channels = x.shape[1]
        count = x.numel() // channels
        own = wide.new_zeros(2 * channels + 1)  # mean, sum of squares about it, count
        own[-1] = count
        if count:
            variance, mean = torch.var_mean(wide, (0, 2, 3), correction=0)
            own[:channels], own[channels:-1] = mean, variance * count
        every = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(every, own)
        counts = torch.stack([one[-1] for one in every])
        means = torch.stack([one[:channels] for one in every])
        squares = torch.stack([one[channels:-1] for one in every])
        total = counts.sum()
        mean = (counts[:, None] * means).sum(0) / total
        variance = (squares + counts[:, None] * (means - mean).square()).sum(0) / total
        scale = torch.rsqrt(variance + eps)
        hat = (wide - mean[:, None, None]) * scale[:, None, None]
        context.save_for_backward(hat, scale, total, weight)
        out = hat if weight is None or bias is None else hat * weight[:, None, None] + bias[:, None, None]
        context.mark_non_differentiable(mean, variance, total)
        return out.to(x.dtype), mean, variance, total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        hat, scale, total, weight = context.saved_tensors
        gradient = gradients[0].to(hat.dtype)
        plain = gradient.sum((0, 2, 3))
        along = (gradient * hat).sum((0, 2, 3))
        sums = torch.cat([plain, along])
        distributed.all_reduce(sums)
        whole_plain, whole_along = (part[:, None, None] for part in (sums / total).chunk(2))
        factor = scale if weight is None else scale * weight
        out = factor[:, None, None] * (gradient - whole_plain - hat * whole_along)
        affine = weight is not None
        return out.to(gradients[0].dtype), along if affine else None, plain if affine else None, None


class SharedBatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` whose training statistics are those of all processes' rows; same state."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same shape; B may differ between processes and be 0 in some."""
        if not self.training:
            return super().forward(x)
        out, mean, variance, total = _Normalise.apply(x, self.weight, self.bias, self.eps)
        if self.running_mean is not None and self.running_var is not None:
            assert self.momentum is not None
            assert self.num_batches_tracked is not None
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
                unbiased = variance * (total / (total - 1).clamp(min=1))
                self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)
        normalised: Tensor = out
        return normalised


def share_batch_norm(network: nn.Module, device: torch.device) -> nn.Module:
    """The network with every batch norm replaced by one over all processes; weights and names stay.

    Args:
        network: changed in place where it can be.
        device: where it is going to run.
    """
    if device.type == "cuda":
        shared: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return shared
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                other = SharedBatchNorm2d(child.num_features, child.eps, child.momentum, child.affine)
                like = next(value for value in child.state_dict().values() if value.is_floating_point())
                other.to(like).load_state_dict(child.state_dict())
                setattr(module, name, other)
    return network
