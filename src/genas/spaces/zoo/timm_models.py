"""The published networks as timm models, under the names of the zoo, each with the prefix ``genas_``.

``timm.create_model("genas_fbs_c100", num_classes=10)`` builds the ImageNet network (14 cells, the first published
width); ``channels=``, ``cells=`` and ``stem="cifar"`` change it. Parameters have the names of `DartsNetwork`, so that
weights can be handed over in both directions. timm's training script knows no second output, so there is no auxiliary
head, and its ``--drop-path`` is constant. There are no weights: timm refuses ``pretrained=True``.
"""

from collections.abc import Callable, Sequence
from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers.classifier import create_classifier
from timm.models import build_model_with_cfg, generate_default_cfgs, is_model, register_model
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from genas.core.errors import ConfigError
from genas.spaces.base import Architecture
from genas.spaces.darts.encoding import DartsArchitecture
from genas.spaces.darts.network import DartsNetwork
from genas.spaces.zoo.costs import SHAPES
from genas.spaces.zoo.entry import load, names

PREFIX = "genas_"


class TimmDarts(DartsNetwork):
    """A DARTS network with the methods that timm's scripts and feature extractors call.

    Args:
        name: in the zoo.
        num_classes: outputs; 0: no classifier.
        in_chans: channels of the images.
        global_pool: timm's name of the pooling before the classifier; empty: none, without a classifier only.
        drop_rate: dropout before the classifier.
        drop_path_rate: see `Network.drop_path`.
        channels: width C of the first cell; None: the first published one.
        cells: number of cells.
        stem: ``imagenet`` or ``cifar``.
        device: where to put the parameters.
        dtype: their type.
    """

    def __init__(
        self,
        name: str,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        channels: int | None = None,
        cells: int = SHAPES["imagenet"].cells,
        stem: str = "imagenet",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        entry = load(name)
        super().__init__(
            max(num_classes, 1),
            entry.architecture,
            cells=cells,
            channels=channels or entry.imagenet_channels[0],
            image_channels=in_chans,
            stem=stem,
            pool_bn=False,
        )
        self.in_chans = in_chans
        self.drop_path = drop_path_rate
        self.num_features = self.head_hidden_size = self.classifier.in_features
        self.head_drop = nn.Dropout(drop_rate)
        self.global_pool: nn.Module
        self._pool_type = global_pool
        self.num_classes = num_classes
        if num_classes == 0 or global_pool != "avg":
            self.reset_classifier(num_classes, global_pool)
        else:  # keep the classifier, and with it the initial weights of genas' own network
            self.global_pool, _ = create_classifier(self.num_features, 0, pool_type=global_pool)
        if device is not None or dtype is not None:
            self.to(device=device, dtype=dtype)

    @property
    def feature_info(self) -> Any:
        """Channels and reductions in timm's form."""
        positions = self.feature_positions
        return [
            {
                "num_chs": one.channels,
                "reduction": one.reduction,
                "module": "stem0" if position < 0 else f"cells.{position}",
            }
            for one, position in zip(super().feature_info, positions, strict=True)
        ]

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Parameter groups for layer-wise learning rates."""
        return {"stem": r"^stem[01]", "blocks": r"^cells\.(\d+)"}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Refused: recomputing a cell would count its batch statistics twice."""
        if enable:
            raise ConfigError("the networks of genas do not support gradient checkpointing; leave it out.")

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.classifier

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new last layer; 0 classes: none, and pooled features come out (raw maps with ``global_pool=""``)."""
        self.num_classes = num_classes
        self._pool_type = self._pool_type if global_pool is None else global_pool
        old = next(self.parameters())
        self.global_pool, classifier = create_classifier(self.num_features, num_classes, pool_type=self._pool_type)
        self.classifier = classifier.to(device=old.device, dtype=old.dtype)

    def forward_features(self, images: Tensor) -> Tensor:
        """The last map, [B, 16C, H/32, W/32]."""
        return self._outputs(images, self.cell_paths(None, DartsArchitecture), ())[self.num_cells - 1]

    def forward_head(self, maps: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits of the last map, or what the classifier would see."""
        pooled: Tensor = self.head_drop(self.global_pool(maps))
        return pooled if pre_logits else self.classifier(pooled)

    def forward(self, images: Tensor, path: Architecture | Sequence[Architecture] | None = None) -> Tensor:
        """Logits [B, num_classes]."""
        self.cell_paths(path, DartsArchitecture)
        return self.forward_head(self.forward_features(images))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """The last map and the maps of `features` at `indices`, as timm's own models give them.

        Args:
            x: images [B, C, H, W] float32, normalised.
            indices: which maps: the last that many of an integer, those at the places of a list (negative ones from
                the end); None for all.
            norm: has no effect: there is no norm behind the last cell.
            stop_early: leave out the cells behind the last of these maps, which then is the last map.
            output_fmt: ``NCHW``.
            intermediates_only: the list of maps alone.

        Returns:
            The last map and the list of maps, finest first; or that list.

        Raises:
            ConfigError: another `output_fmt`.
        """
        if output_fmt != "NCHW":
            raise ConfigError(f"output_fmt is {output_fmt!r}; the maps of genas' networks are NCHW.")
        positions = self.feature_positions
        wanted, last = feature_take_indices(len(positions), indices)
        chosen = [positions[index] for index in sorted(set(wanted))]
        end = positions[last] + 1 if stop_early else self.num_cells
        outputs = self._outputs(x, self.cell_paths(None, DartsArchitecture), chosen, end)
        maps = [outputs[position] for position in chosen]
        return maps if intermediates_only else (outputs[end - 1], maps)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Removes the cells behind the last of the maps at `indices`, and the classifier; see timm."""
        wanted, last = feature_take_indices(len(self.feature_positions), indices)
        kept = max(self.feature_positions[last], 0) + 1
        if prune_head or kept < self.num_cells:
            self.num_features = self.head_hidden_size = self.feature_info[last]["num_chs"]
            self.cells = self.cells[:kept]
            self.reset_classifier(0, "")
        return wanted


def default_cfg(name: str) -> dict[str, Any]:
    """What timm's data loaders want to know; images as in the DARTS line (methods.md 2.3)."""
    shape = SHAPES["imagenet"]
    return {
        "url": "",
        "num_classes": shape.num_classes,
        "input_size": shape.image_shape,
        "pool_size": (7, 7),
        "crop_pct": 0.875,
        "interpolation": "bilinear",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "stem0.0",
        "classifier": "classifier",
        "origin_url": f"https://github.com/{load(name).origin.split()[0].rstrip(',')}",
    }


def timm_name(name: str) -> str:
    """The name in timm of an architecture of the zoo."""
    return name if name.startswith(PREFIX) else PREFIX + name


default_cfgs = generate_default_cfgs({timm_name(name): default_cfg(name) for name in names()})


def _entrypoint(name: str) -> Callable[..., nn.Module]:
    def create(pretrained: bool = False, **options: Any) -> nn.Module:
        maps = 3 if options.get("stem") == "cifar" else 4
        model: nn.Module = build_model_with_cfg(
            TimmDarts,
            timm_name(name),
            pretrained,
            feature_cfg={"out_indices": tuple(range(maps)), "feature_cls": "getter"},
            name=name,
            **options,
        )
        return model

    create.__name__ = create.__qualname__ = timm_name(name)
    create.__doc__ = f"The network of {name}, found on {load(name).searched_on}."
    return create


# As in timm's own files, executing this one registers: it may be this file's import of timm that sets off the hook.
for _name in names():
    if not is_model(timm_name(_name)):
        globals()[timm_name(_name)] = register_model(_entrypoint(_name))
