"""The network as it was brought: taken out of its wrappers, and asked as a function of one batch of images."""

import copy
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CaptureError
from .advice import refusal
from .heads import heads_of

WHERE = "network"  # what the network is called inside `Brought`, and what export puts before each of its names
# A batch of images, and what stands in its place for data of other ranks.
WRAPPERS = {
    3: "for signals [N, C, L] wrap it: `def forward(self, image): return self.net(image.squeeze(2))`, "
    "with images [N, C, 1, L]",
    5: "for volumes [N, C, D, H, W] wrap it: `def forward(self, image): "
    "return self.net(image.unflatten(1, (C, D)))`, with images [N, C·D, H, W]",
}


class Brought(nn.Module):
    """A network of any wrapping, inputs and outputs as one of an image batch: [N, C, H, W] -> heads by name."""

    def __init__(self, network: nn.Module, inputs: Mapping[str, Any]) -> None:
        super().__init__()
        self.network = network
        self.inputs = dict(inputs)
        self.training = network.training

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """The network's outputs that are tensors, by key, field or place."""
        places, names = _arguments(self.network, image, self.inputs)
        return heads_of(self.network(*places, **names))

    def run(self, image: Tensor) -> dict[str, Tensor]:
        """The heads for an image, with copies of the buffers: who counts calls counts none of these."""
        buffers = {name: buffer.clone() for name, buffer in self.named_buffers()}
        heads: dict[str, Tensor] = torch.func.functional_call(self, buffers, (image,))
        return heads

    @property
    def title(self) -> str:
        """What the author called it."""
        name = type(self.network).__name__
        return "the exported program" if name == "UnflattenedModule" else name


def bring(module: Any, example: Tensor, inputs: Mapping[str, Any] | None = None) -> Brought:
    """Take a network out of its wrappers, and look whether it fits its example.

    module: an nn.Module in evaluation mode, or one inside DataParallel, torch.compile or AveragedModel, or an
    ExportedProgram. It is read, never changed. inputs: fixed values for what `forward` takes beside the image.
    Raises CaptureError, with the way out, for what holds no network that could be read, and for an example of
    another rank, precision or device.
    """
    if isinstance(module, Brought):
        return module
    network = _out_of_inference(_unwrapped(module))
    if network.training:
        raise CaptureError(
            "the module is in training mode: call .eval() first, BatchNorm and Dropout depend on it"
        )
    _refuse_other_programs(network)
    _refuse_other_data(network, example)
    _refuse_missing_inputs(network, inputs or {})
    brought = Brought(network, inputs or {})
    _refuse_what_fails(brought, example)
    return brought


def _unwrapped(module: Any) -> nn.Module:
    """The network itself."""
    if isinstance(module, torch.export.ExportedProgram):
        unflattened = torch.export.unflatten(module)  # with its modules, by whose names layers go
        for part in unflattened.modules():
            part.training = False  # it is in the mode that it was exported in, and has no other
        # They want the batch of its own example; whether it takes another one, the certificate judges.
        unflattened.check_input_constraints = False
        return unflattened
    if isinstance(module, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
        raise CaptureError(
            f"{type(module).__name__} is TorchScript already, and what it computes can no longer be taken apart: "
            "give the nn.Module that it was scripted or traced from"
        )
    if not isinstance(module, nn.Module):
        raise CaptureError(
            f"{type(module).__name__} is no nn.Module: put the call into the `forward` of one, and give that"
        )
    # torch.compile leaves the network as it was and puts its own module around it.
    inner = getattr(module, "_orig_mod", None)
    averaged = (nn.DataParallel, nn.parallel.DistributedDataParallel, torch.optim.swa_utils.AveragedModel)
    if inner is None and isinstance(module, averaged):
        inner = module.module
    return module if inner is None else _unwrapped(inner)


def _out_of_inference(network: nn.Module) -> nn.Module:
    """The network, or a copy of one that was made in inference mode: autograd, which judges it, takes no such
    tensors."""
    if not any(tensor.is_inference() for tensor in (*network.parameters(), *network.buffers())):
        return network
    with torch.inference_mode(False):
        return copy.deepcopy(network)


def _refuse_other_programs(network: nn.Module) -> None:
    """A script inside can't be taken apart; integers have no derivative, and their kernels no rules."""
    for name, part in network.named_modules():
        kind = type(part)
        if isinstance(part, torch.jit.ScriptModule):
            raise CaptureError(
                f"{name} is TorchScript, and what it computes can no longer be taken apart: put the nn.Module "
                "there that it was scripted or traced from"
            )
        own = [t for t in part.parameters(recurse=False) if type(t.data) is not Tensor or t.is_quantized]
        # By where their classes stand: a quantised layer is no subclass of what it was made of.
        packages = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "bitsandbytes")
        if kind.__module__.startswith(packages) or own:
            raise CaptureError(
                f"{name or 'the module'} is quantised ({kind.__module__}.{kind.__name__}), and integers have no "
                "derivative: compile the network that it was quantised from"
            )


def _refuse_other_data(network: nn.Module, example: Tensor) -> None:
    """The example must be of the rank that is taken, and of the network's own precision and device."""
    shape = list(example.shape)
    if example.ndim != 4:
        batch = "; if the batch is missing, give example[None]" if example.ndim == 3 else ""
        wrapper = f"; {WRAPPERS[example.ndim]}" if example.ndim in WRAPPERS else ""
        raise CaptureError(f"the example is {shape}, where images [N, C, H, W] are taken{batch}{wrapper}")
    weights = [t for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()]
    if not weights:
        return
    precisions = {_word(t.dtype) for t in weights}
    if not example.is_floating_point() or _word(example.dtype) not in precisions:
        found, wanted = _word(example.dtype), " and ".join(sorted(precisions))
        raise CaptureError(
            f"the example is {found}, the weights are {wanted}: give example.to(torch.{sorted(precisions)[0]}), "
            + (f"or module.to(torch.{found})" if example.is_floating_point() else "scaled as the network takes it")
        )
    devices = {t.device.type for t in weights}
    if example.device.type not in devices:
        raise CaptureError(
            f"the example is on {example.device}, the weights are on {', '.join(sorted(devices))}: "
            "move one of them"
        )


def _refuse_missing_inputs(network: nn.Module, inputs: Mapping[str, Any]) -> None:
    """`forward` must be content with an image and the fixed inputs."""
    signature = inspect.signature(network.forward)
    places, names = _arguments(network, None, inputs)
    try:
        signature.bind(*places, **names)
    except TypeError as error:
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        takes = [p for p in signature.parameters.values() if p.kind not in kinds]
        missing = [p.name for p in takes[1:] if p.default is p.empty and p.name not in inputs]
        if not missing:
            raise CaptureError(f"{type(network).__name__}.forward{signature}: {error}") from None
        fixed = ", ".join(f'"{name}": …' for name in missing)
        raise CaptureError(
            f"{type(network).__name__}.forward takes {', '.join(missing)} beside the image: give what is to be "
            f"fixed, inputs={{{fixed}}}, or wrap the network in a module whose forward takes the image alone"
        ) from None


def _arguments(
    network: nn.Module, image: Any, inputs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """How `forward` is given an image: by place, or by its name where it takes nothing by place."""
    parameters = list(inspect.signature(network.forward).parameters.values())
    by_place = any(p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in parameters)
    name = None if by_place else next((p.name for p in parameters if p.kind is p.KEYWORD_ONLY), None)
    return ((image,), dict(inputs)) if name is None else ((), {name: image, **inputs})


def _refuse_what_fails(network: Brought, example: Tensor) -> None:
    """Run the network as its author does: what fails there is said in torch's own sentence and not in export's."""
    try:
        with torch.inference_mode(False), torch.no_grad():
            heads = network.run(example.detach().clone())
    except Exception as error:
        start = f"{network.title} cannot take its example, {_word(example.dtype)} {list(example.shape)}"
        raise refusal(start, error, "It fails so without this project too.") from None
    if not heads:
        raise CaptureError(
            f"{network.title} returns no tensor that could be found: return one, or several in a dict, a tuple, a "
            "named tuple or a dataclass"
        )


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
