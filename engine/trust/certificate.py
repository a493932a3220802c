"""The one place that asks autograd: how far a compiled file is from an independent reference.

The reference interprets the file's own forward pass, call by call, under autograd, with every activation call
replaced by a function whose backward pass states the policy anew. It shares no rule and no listing with the
backward half that it judges. The layers' cotangents are autograd's too, and the methods' formulas are stated anew.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..methods import METHODS, Method, Place
from ..rules.policies import POLICIES
from ..text import nearest
from .full_gradient import full_gradient_reference
from .many_passes import deviation_of_tails, deviations_of_many, deviations_of_starts
from .reference import CANCELLED, layer_reference, plainly, reference, relative
from .relevance import deviation_throughout, likeness_of, relevance_reference

BOUNDS = {torch.float64: 1e-9, torch.float32: 1e-5}
IMAGES = 2
Formula = Callable[[Tensor, Tensor], Tensor]
# Image methods: from the image x [N, C, H, W] and the cotangent there.
AT_IMAGE: dict[str, Formula] = {
    "gradient": lambda x, ct: ct,
    "saliency": lambda x, ct: torch.linalg.vector_norm(ct, torch.inf, dim=1),
    "input_x_gradient": lambda x, ct: x * ct,
    "deconvnet": lambda x, ct: ct,
    "deep_lift_multipliers": lambda x, ct: ct,
    "guided_backprop": lambda x, ct: ct,
}


def _grad_cam_plus_plus(a: Tensor, ct: Tensor) -> Tensor:
    total, wide = a.flatten(2).sum(2).clamp(min=0)[:, :, None, None], ct.double()  # whose squares are not zero
    alpha = torch.where(ct > 0, wide**2 / (2 * wide**2 + total * wide**3), 0).to(ct)
    return torch.einsum("nchw,nc->nhw", a, torch.einsum("ncij,ncij->nc", alpha, ct))


def _xgrad_cam(a: Tensor, ct: Tensor) -> Tensor:
    total, size = a.flatten(2).sum(2), a.flatten(2).abs().sum(2)
    share = a / total[:, :, None, None]
    weights = torch.where(total.abs() > 1e-3 * size, torch.einsum("ncij,ncij->nc", share, ct), 0)
    return torch.einsum("nchw,nc->nhw", a, weights)


def _eigen_cam(a: Tensor, ct: Tensor) -> Tensor:
    _, _, right = torch.linalg.svd(_square(a), full_matrices=False)
    map = torch.einsum("nchw,nc->nhw", a, right[:, 0].to(a))
    below = map.amin((1, 2), keepdim=True).abs() > map.amax((1, 2), keepdim=True)
    return torch.where(below, -map, map) + 0 * a.sum((1, 2, 3))[:, None, None]  # of no numbers no number


def _square(a: Tensor) -> Tensor:
    """A matrix with the right singular vectors and values of the layer's pixels by channels, and no more rows than
    columns: the R of its QR decomposition where it is tall."""
    wide = a if a.dtype == torch.float64 else a.float()
    pixels = wide.flatten(2).mT.nan_to_num(0, 0, 0)
    return torch.linalg.qr(pixels, mode="r").R if pixels.shape[1] > pixels.shape[2] else pixels


def _without_signs(map: Tensor, formula: Formula, a: Tensor, ct: Tensor) -> Tensor:
    """The size of a map whose terms do not cancel, of which rounding is a share."""
    return formula(a.abs(), ct.abs()).abs().max() * CANCELLED


def _over_gap(map: Tensor, formula: Formula, a: Tensor, ct: Tensor) -> Tensor:
    """A singular vector turns by what the values are off over the gap to the next singular value (Wedin 1972)."""
    values = torch.linalg.svdvals(_square(a))
    first, second = values[:, 0], values[:, 1] if values.shape[1] > 1 else torch.zeros_like(values[:, 0])
    turned: Tensor = map.abs().max() * (first / (first - second).clamp_min(torch.finfo(first.dtype).tiny)).max()
    return turned


# Layer methods: the map [N, h, w] from the primal and the cotangent, and whether its negative part is kept.
AT_LAYER: dict[str, tuple[Formula, bool]] = {
    "cam": (lambda a, ct: torch.einsum("nchw,nc->nhw", a, ct.flatten(2).sum(2)), True),
    "grad_cam": (lambda a, ct: torch.einsum("nchw,nc->nhw", a, ct.flatten(2).mean(2)), False),
    "guided_grad_cam": (lambda a, ct: torch.einsum("nchw,nc->nhw", a, ct.flatten(2).mean(2)), False),
    "hires_cam": (lambda a, ct: torch.einsum("nchw,nchw->nhw", a, ct), False),
    "layer_cam": (lambda a, ct: torch.einsum("nchw,nchw->nhw", a, ct.clamp(min=0)), False),
    "grad_cam_plus_plus": (_grad_cam_plus_plus, False),
    "xgrad_cam": (_xgrad_cam, False),
    "eigen_cam": (_eigen_cam, True),
}
# What a map is as large as where it is not settled by itself; for the others it is that of terms without signs.
UNSETTLED = {"eigen_cam": _over_gap}


def natural_size(name: str, map: Tensor, a: Tensor, ct: Tensor) -> Tensor:
    """What the rounding of a layer's map is a share of where its terms cancel: relative to itself it says nothing.

    map: that of the layer method `name` from the layer's primal and cotangent, [N, C, h, w], its negative part
    included.
    """
    return UNSETTLED.get(name, _without_signs)(map, AT_LAYER[name][0], a, ct)


def register_method(method: Method, formula: Formula, signed: bool = False) -> None:
    """Add a method of one's own: its row, and what files are certified by, its formula stated anew.

    method: its reading is a plain function that TorchScript takes. From then on every compile knows its name.
    formula: (x, cotangent at the image) -> map for a method of the image, and (primal, cotangent of a layer) ->
    map [N, h, w] for one of layers, its negative part included. It should share nothing with the reading: it is
    there to find that one's mistakes. signed: a map of a layer keeps its negative part.
    Raises ValueError where a method of that name is there already, or where its row names a place or policy that
    is not there.
    """
    if method.name in METHODS:
        raise ValueError(f"there is a method called {method.name!r} already; give yours another name")
    if method.policy not in POLICIES:
        raise ValueError(f"no policy is called {method.policy!r}; {nearest(method.policy, POLICIES)}")
    if method.times and method.times not in AT_IMAGE:
        raise ValueError(f"no image method is called {method.times!r}; {nearest(method.times, AT_IMAGE)}")
    METHODS[method.name] = method
    if method.at.at_image:
        AT_IMAGE[method.name] = formula
    else:
        AT_LAYER[method.name] = formula, signed


def certify(module: torch.jit.ScriptModule) -> dict[str, Any]:
    """The certificate: the largest deviation from the reference, of each policy at the image and of each method at
    every layer, on what inputs, and the bound that they have to keep.

    A policy's deviation is relative to the reference's largest value, a method's at each layer to that of the
    reference's map there, a negative part that the method drops included.
    """
    x, seed = question(module)
    policies, image_cts = _of_policies(module, x, seed)
    return {
        "policies": policies,
        "methods": _of_methods(module, x, seed, image_cts) | deviations_of_many(module, x, seed),
        "starts": deviations_of_starts(module, x),
        "tails": deviation_of_tails(module, x),
        "relevance": likeness_of(module, x, seed, image_cts),
        "bound": BOUNDS.get(seed.dtype),
        "inputs": f"{IMAGES} standard normal images (generator seed 0)"
        + ("" if (x < 0).any() else ", brought to 0..1 by a sigmoid,")
        + " asked for their top class",
        "dtype": str(seed.dtype).removeprefix("torch."),
        "device": str(x.device),
        "threads": torch.get_num_threads(),
    }


def compare(
    module: torch.jit.ScriptModule,
    original: Callable[[Tensor], Tensor],
    above: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, float]:
    """The deviation of logits and gradient from the network that was compiled, by autograd through it.

    above: what the network does to the logits of the file, where it has those below a softmax.
    """
    x, seed = question(module)
    with torch.inference_mode(False), torch.enable_grad():
        leaf = x.clone().requires_grad_()
        wanted = original(leaf)
        (ct,) = torch.autograd.grad((wanted * seed).sum(), leaf)
    found, inner_seed = brought_below(module, x, seed, above)
    deviations = {"logits": relative(found, wanted.detach())}
    if "gradient" not in module.policies_at_image:
        return deviations
    with torch.no_grad(), plainly():
        *_, image = module.probe(x, inner_seed, "gradient")
    return deviations | {"gradient": relative(image, ct)}


def brought_below(
    module: torch.jit.ScriptModule, x: Tensor, seed: Tensor, above: Callable[[Tensor], Tensor] | None
) -> tuple[Tensor, Tensor]:
    """What the network makes of the file's logits, and the cotangent there of a seed on that."""
    with torch.no_grad(), plainly():
        logits = module.forward(x)
    if above is None:
        return logits, seed
    with torch.inference_mode(False), torch.enable_grad():
        inner = logits.clone().requires_grad_()
        found = above(inner)
        (ct,) = torch.autograd.grad((found * seed).sum(), inner)
    return found.detach(), ct


def policy_deviations(module: torch.jit.ScriptModule) -> dict[str, float]:
    """The deviation of each policy at the image alone, which takes the largest networks less memory; NaN where the
    reference is zero everywhere, which would prove nothing."""
    deviations, image_cts = _of_policies(module, *question(module))
    return {policy: found if image_cts[policy].any() else float("nan") for policy, found in deviations.items()}


def _of_policies(
    module: torch.jit.ScriptModule, x: Tensor, seed: Tensor
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """The deviation of each policy at the image, and the reference's cotangents there."""
    deviations, image_cts = {}, {}
    for policy in module.policies_at_image:
        with torch.no_grad(), plainly():
            *_, ct = module.probe(x, seed, policy)
        carried = relevance_reference(module, x, seed, policy)[0] if POLICIES[policy].relevance else None
        image_cts[policy] = reference(module, x, seed, policy)[1] if carried is None else carried
        deviations[policy] = relative(ct, image_cts[policy])
    return deviations, image_cts


def _of_methods(
    module: torch.jit.ScriptModule, x: Tensor, seed: Tensor, image_cts: dict[str, Tensor]
) -> dict[str, float]:
    """The largest deviation of each method's answers."""
    with torch.no_grad(), plainly():
        one_pass = [name for name in module.methods if name not in module.path_of]
        answers = dict(zip(one_pass, module.survey(x, seed, one_pass), strict=True))
    places = {name: Place(module.at_of[name]) for name in one_pass}
    at_layers = [name for name in one_pass if not places[name].at_image]
    alone = [name for name in one_pass if name in module.alone]
    # Who reads a layer's values alone is given the gradient beside them, and leaves it.
    policy_of = {name: module.policy_of[name] or "gradient" for name in at_layers}
    references = {policy: layer_reference(module, x, seed, policy) for policy in {*policy_of.values()}}
    deviations = {}
    for name, answer in answers.items():
        if name in alone:
            deviations[name] = deviation_throughout(module, x, seed, name, answer)
            continue
        if places[name] is Place.CALLS:
            deviations[name] = relative(answer, full_gradient_reference(module, x, seed)[0])
            continue
        if name not in (AT_LAYER if name in at_layers else AT_IMAGE):
            raise ValueError(f"the certificate has no formula for the method {name!r}; register_method states one")
        if name not in at_layers:
            deviations[name] = relative(answer, AT_IMAGE[name](x, image_cts[module.policy_of[name]]))
            continue
        layers = references[policy_of[name]]
        formula, signed = AT_LAYER[name]
        times = module.times_of.get(name, "")
        factor = AT_IMAGE[times](x, image_cts[module.policy_of[times]]) if times else x.new_ones(len(x), 1, 1, 1)
        answer = answer if times else answer[:, :, None]
        found = [0.0]  # of no layer, where a network has no trunk
        for index, layer in enumerate(places[name].layers(len(layers), module.pooled)):
            map = formula(*layers[layer])[:, None]
            whole, kept = (
                F.interpolate(part, module.size, mode="bilinear") * factor
                for part in (map, map if signed else map.clamp(min=0))
            )
            # Where terms cancel, as behind a variance, rounding is left: relative to itself it says nothing.
            natural = natural_size(name, map, *layers[layer])
            found.append(relative(answer[:, index], kept, torch.stack([whole.abs().max(), natural])))
        deviations[name] = float(torch.tensor(found).max())  # Python's max would lose a NaN
    return deviations


def question(module: torch.jit.ScriptModule) -> tuple[Tensor, Tensor]:
    """What a file is certified on: standard normal images, and the seed for the top class of each."""
    like: Tensor = module.like
    shape = (IMAGES, len(module.mean), *module.size)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x.to(like.device, module.fine.dtype)
    with torch.no_grad(), plainly():
        logits = module.forward(x)
        if not logits.isfinite().all():  # of a network that takes a root or a logarithm of its pixels
            x = x.sigmoid()
            logits = module.forward(x)
        top = logits.argmax(1)  # of dense outputs, at every place
    return x, torch.nn.functional.one_hot(top, module.classes).movedim(-1, 1).to(like.dtype)
