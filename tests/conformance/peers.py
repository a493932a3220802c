"""Where other tools agree with this project, and where they are wrong: the cases, and their tables.

python -m tests.conformance.peers      prints the tables as Markdown
"""

import copy
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

import torch
from torch import Tensor, nn

from engine import METHODS, Explainer, compile_model
from engine.methods import Place
from engine.trust.relevance import relevance_reference
from tests.conformance.adapters import ADAPTERS, HANDBOOK, MODULES, OPTIONS, Adapter
from tests.conformance.formulas import AT_LAYER, integrated_gradients
from tests.conformance.networks import network
from tests.oracle import at_image, deviation

POLICIES = {"guided_backprop": "guided", "deconvnet": "deconvnet"}  # of the image methods that have one


@dataclass(frozen=True)
class Case:
    """One question to one tool. `dtype` is the precision of network and image; `loose`, the deviation that a tool
    brings with it by a constant of its own or by rounding to float32."""

    network: str
    tool: str
    method: str
    layer: str = ""
    usage: str = ""
    dtype: torch.dtype = torch.float64
    loose: float = 0.0

    def __str__(self) -> str:
        question = f"{self.method} at {self.layer}" if self.layer else self.method
        return f"{question} ({self.usage})" if self.usage else question

    @property
    def bound(self) -> float:
        """The deviation up to which two answers agree."""
        return max(self.loose, 1e-9 if self.dtype == torch.float64 else 1e-5)


@dataclass(frozen=True)
class Fault:
    """A case in which the tool is wrong, by about `about` of the reference's maximum, and why."""

    title: str
    case: Case
    about: float
    why: str


RELEVANCE = (
    "lrp_epsilon", "lrp_epsilon_plus", "lrp_epsilon_gamma_box", "lrp_epsilon_plus_flat",
    "lrp_epsilon_alpha2_beta1", "lrp_epsilon_alpha2_beta1_flat", "excitation_backprop",
)  # fmt: skip
# Networks that are large for what they show beside the others.
LARGE = ("vgg16", "vgg19_bn, eps 0", "resnet50, eps 0")
RELEVANCE_CASES = [
    *(Case(network, "zennit", method, usage=usage)
      for network, usage in (("vgg11", ""), ("resnet18, eps 0", "ResNetCanonizer"),
                             ("vgg19_bn, eps 0", "VGGCanonizer"))
      for method in RELEVANCE if (network[:5], method) != ("vgg19", "lrp_epsilon_gamma_box")),
    Case("vgg19_bn, eps 0", "zennit", "lrp_epsilon_gamma_box", usage="VGGCanonizer", loose=1e-9),  # cancels
    *(Case(network, "zennit", method, usage=usage)
      for network, usage in (("vgg16", ""), ("resnet50, eps 0", "ResNetCanonizer"))
      for method in ("lrp_epsilon_plus", "lrp_epsilon_gamma_box")),
    Case("vgg11", "captum", "lrp_epsilon", loose=2e-3),  # with a stabiliser of its own, and poolings by epsilon
]  # fmt: skip
AGREEMENTS = [
    *RELEVANCE_CASES,
    *(Case(network, tool, method)
      for network in ("small residual", "one ReLU in two branches", "vgg11", "resnet18")
      for tool in ("captum", "zennit")
      for method in ("gradient", "deconvnet", "guided_backprop")),
    *(Case(network, "grad-cam", "guided_backprop") for network in ("small residual", "vgg11", "resnet18")),
    *(Case(network, tool, "grad_cam", layer)
      for network, layer in (("small residual", "last"), ("vgg11", "features.19"), ("resnet18", "layer3.1"))
      for tool in ("captum", "grad-cam", "torchcam")),
    Case("small residual", "captum", "input_x_gradient"),
    Case("small residual", "captum", "guided_grad_cam", "last"),
    Case("vgg11", "captum", "guided_grad_cam", "features.18"),
    Case("resnet18", "captum", "guided_grad_cam", "layer4"),
    Case("resnet18", "torchcam", "cam", "layer4"),
    Case("googlenet", "captum", "grad_cam", "inception5a"),
    Case("mobilenet_v2", "captum", "gradient"),
    *(Case("on paper", "captum", "occlusion", usage=usage)
      for usage in ("pixel by pixel", "2 by 2, side by side", "2 by 2, overlapping")),
    Case("small residual", "captum", "occlusion", usage="2 by 2, overlapping", loose=1e-7),  # it counts in float32
    *(Case(network, "captum", "integrated_gradients", usage="50 midpoints", loose=1e-7)  # of float32 too
      for network in ("on paper", "small residual", "GELU")),
    *(Case(network, tool, method, layer)
      for network, layer in (("on paper", "relu"), ("small residual", "last"), ("resnet18", "layer3.1"))
      for tool, method in (("captum", "hires_cam"), ("grad-cam", "hires_cam"), ("grad-cam", "layer_cam"))),
    *(Case(network, "torchcam", "layer_cam", layer)
      for network, layer in (("on paper", "relu"), ("small residual", "last"))),
    *(Case(network, tool, "xgrad_cam", layer, loose=1e-6)  # they add 1e-7 and 1e-8 to the sum of a map
      for network, layer in (("on paper", "relu"), ("small residual", "last"))
      for tool in ("grad-cam", "torchcam")),
    Case("on paper", "grad-cam", "grad_cam_plus_plus", "relu", loose=1e-6),  # it adds 1e-6 to the divisor
    *(Case(network, "grad-cam", "ablation_cam", layer, loose=1e-6)  # whose weights are float32
      for network, layer in (("on paper", "relu"), ("small residual", "last"))),
    # grad-cam asks image by image; on vgg11 in float32 a convolution of another batch size rounds otherwise, and
    # one activation and one pooling fall to the other side: 2e-4, and 2e-7 where ours is asked image by image too.
    Case("small residual", "grad-cam", "guided_backprop", dtype=torch.float32),
    Case("vgg11", "captum", "guided_backprop", dtype=torch.float32),
    Case("vgg11", "torchcam", "grad_cam", "features.19", dtype=torch.float32),
]  # fmt: skip

PLAIN = "the plain gradient, without a word"
UNHOOKED = f"no module to hook: {PLAIN}"
FUNCTIONAL = "functional ReLU"
LAST = "the last ReLU is functional"
UNKNOWN = f"only nn.ReLU is known: {PLAIN}"
OTHER_ACTIVATION = "another activation than ReLU"
IN_PLACE = "in-place ReLU behind the layer"
OVERWRITTEN = "the activation that was kept is overwritten by the ReLU"
REUSED = "module used three times, the second use asked"
RELEVANCE_FAULTS = [
    Fault("a sum that is no module", Case("small residual", "zennit", "lrp_epsilon_plus"), 0.99,
          "what comes to it goes to both sides whole: relevance is made of nothing"),
    Fault("a sum that is no module", Case("small residual", "captum", "lrp_epsilon"), 64,
          "what comes to it goes to both sides whole: relevance is made of nothing"),
    Fault("a norm is merged, and its eps stays",
          Case("resnet18", "zennit", "lrp_epsilon", usage="ResNetCanonizer"), 8e-3,
          "each norm goes on dividing by the root of 1 + eps"),
]  # fmt: skip
FAULTS = [
    *RELEVANCE_FAULTS,
    Fault(FUNCTIONAL, Case("googlenet", "captum", "guided_backprop"), 1.5, UNHOOKED),
    Fault(FUNCTIONAL, Case("googlenet", "zennit", "guided_backprop"), 1.5, UNHOOKED),
    Fault(FUNCTIONAL, Case("googlenet", "grad-cam", "guided_backprop"), 1.5, UNHOOKED),
    Fault(FUNCTIONAL, Case("googlenet", "captum", "deconvnet"), 2.1, UNHOOKED),
    Fault(FUNCTIONAL, Case("densenet, 8 layers", "captum", "guided_backprop"), 0.4, LAST),
    Fault(FUNCTIONAL, Case("densenet, 8 layers", "zennit", "guided_backprop"), 0.4, LAST),
    Fault(OTHER_ACTIVATION, Case("mobilenet_v2", "captum", "guided_backprop"), 35, f"ReLU6; {UNKNOWN}"),
    Fault(OTHER_ACTIVATION, Case("efficientnet_b0", "zennit", "guided_backprop"), 2.4, f"SiLU; {UNKNOWN}"),
    Fault(OTHER_ACTIVATION, Case("GELU", "grad-cam", "guided_backprop"), 0.94, f"GELU; {UNKNOWN}"),
    Fault("ReLU whose input has a second reader", Case("ReLU whose input is shared", "captum", "guided_backprop"),
          0.51, "the hook on the input gates what the other reader sends back too"),
    Fault("ReLU whose input has a second reader", Case("ReLU whose input is shared", "captum", "deconvnet"),
          0.91, "the hook on the input drops what the other reader sends back"),
    Fault(IN_PLACE, Case("alexnet", "grad-cam", "grad_cam", "features.10"), 0.36, OVERWRITTEN),
    Fault(IN_PLACE, Case("alexnet", "torchcam", "grad_cam", "features.10"), 0.36, OVERWRITTEN),
    Fault(IN_PLACE, Case("resnet18", "torchcam", "grad_cam", "bn1"), 0.76, OVERWRITTEN),
    Fault("gates in model.features only", Case("alexnet", HANDBOOK, "guided_backprop"), 0.57,
          "the ReLUs of the classifier keep their plain derivative"),
    Fault(REUSED, Case("reused modules", "captum", "grad_cam", "relu@2"), 1.8, "the last use answers"),
    Fault(REUSED, Case("reused modules", "torchcam", "grad_cam", "relu@2"), 1.8, "the last use answers"),
    Fault(REUSED, Case("reused modules", "grad-cam", "grad_cam", "relu@2"), 0.92, "the first use answers"),
    Fault("one class for each image",
          Case("small residual", "grad-cam", "guided_backprop", usage="batch in one call"), 0.3,
          "the first image alone is answered"),
    Fault("the same tensor asked twice",
          Case("small residual", "grad-cam", "guided_backprop", usage="second call"), 1.0,
          "the gradient is added to that of the first call"),
    Fault("constant map", Case("constant maps", "grad-cam", "grad_cam", "first", usage="as delivered"), 1.0,
          "scaled by its own minimum and maximum: zero everywhere"),
    Fault("constant map", Case("constant maps", "torchcam", "grad_cam", "first", usage="as delivered"), 1.0,
          "scaled by its own minimum and maximum: zero everywhere"),
    Fault("weights that do not sum to one",
          Case("on paper", "captum", "integrated_gradients", usage="50 steps, trapezoid"), 0.04,
          "n points weigh (n - 1) / n together, and the parts make up as much less than the score"),
    Fault("centred maps", Case("on paper", "grad-cam", "eigen_cam", "relu"), 0.46,
          "the mean of each channel is taken off, which the paper does not"),
    Fault("equation 19 without its division", Case("on paper", "torchcam", "grad_cam_plus_plus", "relu"), 63,
          "a mask is filled in on a copy: the weights are sums of the derivative"),
    Fault("a constant beside squares", Case("small residual", "grad-cam", "grad_cam_plus_plus", "last"), 0.1,
          "1e-6 in the divisor, where squares of derivatives are no larger"),
    Fault("a large number for none", Case("ReLU whose input is shared", "grad-cam", "ablation_cam", "first"), 2e8,
          "where a layer has no zero, a map is set to its minimum less 1e7, and each next one as much lower"),
]  # fmt: skip


@cache
def theirs(case: Case) -> Tensor:
    """What the tool answers; it gets a copy of the network, and its warnings go nowhere."""
    module, x, seed = network(case.network, case.dtype)
    layer = case.layer.partition("@")[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapter = ADAPTERS[case.tool, case.method, case.usage]
        return adapter(copy.deepcopy(module), x.clone(), seed, layer).detach()


def ours(case: Case) -> Tensor:
    """What this project answers: for methods of a layer the map as it is there, not resized."""
    _, x, seed = network(case.network, case.dtype)
    found = explainer(case.network, case.dtype)
    method = METHODS[case.method]
    if method.path:
        asked = found.ask(
            x, method=case.method, layer=case.layer or -1, seed=seed, options=OPTIONS.get(case.usage)
        )
        return at_its_size(asked.values, found, case.layer) if case.layer else asked.values
    if method.at.at_image or method.times:  # relevance too: its layer -1 is the image
        return found.explain(x, seed, case.method, case.layer or -1)
    _, primals, cotangents, _ = found.probe(x, seed, "gradient")
    at = found.layer_index(case.layer)
    return method.read(primals[at], cotangents[at])


def at_its_size(maps: Tensor, found: Explainer, layer: str) -> Tensor:
    """Maps as they were before they were resized bilinearly to the input's size, by least squares."""
    side = found.manifest["layers"][found.layer_index(layer)]["shape"][-1]
    cells = torch.eye(side, dtype=torch.float64)[None]
    resized = nn.functional.interpolate(cells, maps.shape[-1], mode="linear", align_corners=False)[0]
    back = torch.linalg.pinv(resized)
    return (back.mT @ maps.double() @ back).to(maps.dtype)


@cache
def explainer(name: str, dtype: torch.dtype) -> Explainer:
    """The network compiled for what the tables ask of it."""
    module, x, _ = network(name, dtype)
    cases = [case for case in [*AGREEMENTS, *(fault.case for fault in FAULTS)] if case.network == name]
    layers = sorted({case.layer for case in cases} - {""})
    methods = sorted({case.method for case in cases})
    return compile_model(module, x, layers=layers or "trunk", methods=methods)


@cache
def reference(case: Case, policy: str | None = None) -> Tensor:
    """Autograd through the module as its author wrote it: for image methods with each activation call replaced,
    at a layer with a copy of its output passed on, so that nothing can overwrite it."""
    module, x, seed = network(case.network, case.dtype)
    if METHODS[case.method].at is Place.THROUGHOUT:
        return relevance_reference(explainer(case.network, case.dtype).module, x, seed, case.method)[0].detach()
    if case.method == "integrated_gradients":
        return integrated_gradients(module, x, seed, int(OPTIONS[case.usage]["steps"]))
    if case.method not in AT_LAYER:
        return at_image(module, x, seed, policy or POLICIES.get(case.method, "gradient"))[1]
    name, _, use = case.layer.partition("@")
    outputs = []

    def keep(part: nn.Module, args: tuple[Tensor, ...], y: Tensor) -> Tensor:
        outputs.append(y)
        return y.clone()

    handle = module.get_submodule(name).register_forward_hook(keep)
    logits = module(x)
    handle.remove()
    primal = outputs[int(use or 1) - 1]
    (ct,) = torch.autograd.grad((logits * seed).sum(), primal)

    def tail(value: Tensor) -> Tensor:
        handle = module.get_submodule(name).register_forward_hook(lambda part, args, y: value)
        with torch.no_grad():
            logits = module(x)
        handle.remove()
        return logits

    return AT_LAYER[case.method](primal.detach(), ct, seed, tail).detach()


HABITS = [("captum", "guided_backprop", ""), ("zennit", "guided_backprop", ""), ("torchcam", "grad_cam", ""),
          ("grad-cam", "grad_cam", ""), ("grad-cam", "guided_backprop", "batch in one call")]  # fmt: skip


def left_behind(ask: Adapter) -> dict[str, int]:
    """What a question changes in the caller's ResNet18 and images, counted; what did not change is left out."""
    module, x, seed = copy.deepcopy(network("resnet18"))
    module.relu.train()
    parts = dict(module.named_modules(remove_duplicate=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ask(module, x, seed, "layer4")
    now = dict(module.named_modules(remove_duplicate=False))
    counts = {
        "modules replaced": sum(now[name] is not part for name, part in parts.items()),
        "parameters with a .grad": sum(weight.grad is not None for weight in module.parameters()),
        "train flags cleared": int(not parts["relu"].training),
        "hooks left": sum(len(part._forward_hooks) + len(part._backward_hooks) for part in now.values()),
        "images that require grad": len(x) * int(x.requires_grad),
    }
    return {what: count for what, count in counts.items() if count}


def tables() -> str:
    """Three tables as Markdown: agreement, faults, and what a call leaves behind.

    Deviations are the largest difference relative to the largest value. Raises ImportError where a tool is not
    installed.
    """
    lines = ["| tool | network | method | precision | deviation |", "|---|---|---|---|---|"]
    for case in AGREEMENTS:
        precision, number = str(case.dtype).removeprefix("torch."), brief(deviation(ours(case), theirs(case)))
        lines.append(f"| {titled(case.tool)} | {case.network} | {case} | {precision} | {number} |")
    lines += [
        "",
        "| fault | tool | network | method | its deviation | ours | why |",
        "|---|---|---|---|---|---|---|",
    ]
    for fault in FAULTS:
        case, wanted = fault.case, reference(fault.case)
        numbers = f"{share(deviation(theirs(case), wanted))} | {brief(deviation(ours(case), wanted))}"
        lines.append(
            f"| {fault.title} | {titled(case.tool)} | {case.network} | {case} | {numbers} | {fault.why} |"
        )
    lines += ["", "| tool | method | what a call leaves behind in resnet18 |", "|---|---|---|"]
    for tool, method, usage in HABITS:
        found = left_behind(ADAPTERS[tool, method, usage])
        text = ", ".join(f"{count} {what}" for what, count in found.items()) or "nothing"
        lines.append(f"| {titled(tool)} | {method} | {text} |")
    return "\n".join(lines) + "\n"


def brief(number: float) -> str:
    """One digit, and 0 for what is equal to the last bit."""
    return f"{number:.0e}" if number else "0"


def share(number: float) -> str:
    """In per cent, or, beyond ten thousand, as how many times."""
    return f"{number:.0%}" if number < 100 else f"{number:.0e} times"


def titled(tool: str) -> str:
    """A tool with its version."""
    return f"{tool} {version(tool)}" if tool in MODULES else tool


if __name__ == "__main__":
    print(tables(), end="")
