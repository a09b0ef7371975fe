"""Proxies by name: one line each."""

from typing import TYPE_CHECKING

from genas.core.registry import Registry

if TYPE_CHECKING:
    from genas.proxies.base import Proxy

PROXIES: "Registry[Proxy]" = Registry(
    "proxy",
    "genas.proxies.base:Proxy",
    {
        "flatness": "genas.proxies.flatness:Flatness",
        "relative-flatness": "genas.proxies.flatness:RelativeFlatness",
        "angle": "genas.proxies.angle:Angle",
        "accuracy": "genas.proxies.accuracy:Accuracy",
        "loss": "genas.proxies.accuracy:Loss",
        "sharpness": "genas.proxies.curvature:Sharpness",
        "hessian-trace": "genas.proxies.curvature:HessianTrace",
        "gradient-norm": "genas.proxies.curvature:GradientNorm",
        "neighbour-flatness": "genas.proxies.curvature:NeighbourFlatness",
        "params": "genas.proxies.zero_cost:Params",
        "macs": "genas.proxies.zero_cost:Macs",
        "benchmark-params": "genas.proxies.zero_cost:BenchmarkParams",
        "benchmark-macs": "genas.proxies.zero_cost:BenchmarkMacs",
        "synflow": "genas.proxies.zero_cost:SynFlow",
        "naswot": "genas.proxies.zero_cost:Naswot",
        "jacob-cov": "genas.proxies.zero_cost:JacobCov",
        "grad-norm": "genas.proxies.zero_cost:GradNorm",
        "snip": "genas.proxies.zero_cost:Snip",
        "consensus": "genas.proxies.consensus:Consensus",
    },
)
