"""Proxies by name: one line each."""

from typing import TYPE_CHECKING

from genas.registry import Registry

if TYPE_CHECKING:
    from genas.proxy.base import Proxy

PROXIES: "Registry[Proxy]" = Registry(
    "proxy",
    "genas.proxy.base:Proxy",
    {
        "flatness": "genas.proxy.flatness:Flatness",
        "relative-flatness": "genas.proxy.flatness:RelativeFlatness",
        "angle": "genas.proxy.angle:Angle",
        "accuracy": "genas.proxy.accuracy:Accuracy",
        "loss": "genas.proxy.accuracy:Loss",
        "sharpness": "genas.proxy.curvature:Sharpness",
        "hessian-trace": "genas.proxy.curvature:HessianTrace",
        "gradient-norm": "genas.proxy.curvature:GradientNorm",
        "neighbour-flatness": "genas.proxy.curvature:NeighbourFlatness",
        "params": "genas.proxy.zero_cost:Params",
        "macs": "genas.proxy.zero_cost:Macs",
        "benchmark-params": "genas.proxy.zero_cost:BenchmarkParams",
        "benchmark-macs": "genas.proxy.zero_cost:BenchmarkMacs",
        "synflow": "genas.proxy.zero_cost:SynFlow",
        "naswot": "genas.proxy.zero_cost:Naswot",
        "jacob-cov": "genas.proxy.zero_cost:JacobCov",
        "grad-norm": "genas.proxy.zero_cost:GradNorm",
        "snip": "genas.proxy.zero_cost:Snip",
        "consensus": "genas.proxy.consensus:Consensus",
    },
)
