"""The same network with other weights, from the same program."""

import copy
from collections.abc import Sequence
from typing import Any, Self

import torch

from ..text import nearest
from .opened import Opened


class Redrawing(Opened):
    """What an explainer becomes when its weights are redrawn."""

    @property
    def weighted(self) -> list[str]:
        """The modules whose weights can be redrawn, in the network's own order; the last ones are the top."""
        return list(dict.fromkeys(_module_of(entry["parameter"]) for entry in self._redrawable))

    @property
    def _redrawable(self) -> list[dict[str, Any]]:
        if "constants" not in self.manifest:
            raise ValueError("this file does not tell whose its constants are: export it again")
        return list(self.manifest["constants"])

    def randomised(self, layers: Sequence[str] | str | None = None, seed: int = 0) -> Self:
        """An explainer of the same network with redrawn weights, in a fraction of a compile: each parameter keeps
        its values and has them in another order. A map that stays as it was explains no network. Adebayo et al.
        2018, arXiv:1810.03292.

        layers: names of modules, those inside of them included, see `weighted`; None for all. A cascade from the
        top takes `weighted[-1:]`, `weighted[-2:]` and so on. seed: of the order; a parameter's order is the same
        whatever else is redrawn. Raises ValueError for names that have no weights.
        """
        chosen = self._chosen(layers)
        with torch.inference_mode(False), torch.no_grad():
            module = copy.deepcopy(self.module)
            weights = dict(module.weights.named_buffers())
            for number, entry in enumerate(self._redrawable):
                if entry["parameter"] not in chosen:
                    continue
                generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
                first = weights[entry["constants"][0]]
                order = torch.randperm(first.numel(), generator=generator).to(first.device)
                for name in entry["constants"]:
                    value = weights[name]
                    value.copy_(value.flatten()[order].view_as(value))
        model = self.manifest["model"] | {"weights": f"redrawn, seed {seed}: no network", "sha256": None}
        told = {key: value for key, value in self.manifest.items() if key != "program"}
        return type(self)(module, told | {"model": model | {"title": f"{model['title']}, redrawn"}})

    def _chosen(self, layers: Sequence[str] | str | None) -> set[str]:
        """The parameters that layers hold."""
        known = {entry["parameter"] for entry in self._redrawable}
        if layers is None:
            return known
        chosen = set[str]()
        for name in [layers] if isinstance(layers, str) else layers:
            own = {one for one in known if _module_of(one) == name or one.startswith(f"{name}.")}
            if not own:
                raise ValueError(f"{name!r} has no weights that can be redrawn; {nearest(name, self.weighted)}")
            chosen |= own
        return chosen


def _module_of(parameter: str) -> str:
    return parameter.rpartition(".")[0] or parameter
