"""Other tools behind one interface.

An adapter takes (module, x, seed, layer), seed one-hot, and returns what its tool answers, before any scaling
that the tool offers to leave out. Image methods give [N, C, H, W], CAMs [N, h, w], occlusion [N, H, W]. Tools are
imported when asked, so that each can be absent.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.oracle import Gate

MODULES = {"captum": "captum", "zennit": "zennit", "grad-cam": "pytorch_grad_cam", "torchcam": "torchcam"}
HANDBOOK = "the handbook's hooks"
Adapter = Callable[[nn.Module, Tensor, Tensor, str], Tensor]


def captum_image(name: str, **options: object) -> Adapter:
    def ask(module: nn.Module, x: Tensor, seed: Tensor, layer: str) -> Tensor:
        from captum import attr

        return getattr(attr, name)(module).attribute(x, target=seed.argmax(1), **options)

    return ask


def captum_grad_cam(module: nn.Module, x: Tensor, seed: Tensor, layer: str) -> Tensor:
    from captum.attr import LayerGradCam

    asked = LayerGradCam(module, module.get_submodule(layer))
    return asked.attribute(x, target=seed.argmax(1), relu_attributions=True)[:, 0]


def captum_gradient_times_value(module: nn.Module, x: Tensor, seed: Tensor, layer: str) -> Tensor:
    """Summed over the channels, without what is below zero: the two steps from it to HiResCAM."""
    from captum.attr import LayerGradientXActivation

    asked = LayerGradientXActivation(module, module.get_submodule(layer))
    return torch.relu(asked.attribute(x, target=seed.argmax(1)).sum(1))


def captum_occlusion(window: int, stride: int) -> Adapter:
    def ask(module: nn.Module, x: Tensor, seed: Tensor, layer: str) -> Tensor:
        """All channels at once; each of them has the map."""
        from captum.attr import Occlusion

        sides, steps = (x.shape[1], window, window), (x.shape[1], stride, stride)
        return Occlusion(module).attribute(x, sides, strides=steps, target=seed.argmax(1))[:, 0]

    return ask


def captum_guided_grad_cam(module: nn.Module, x: Tensor, seed: Tensor, layer: str) -> Tensor:
    from captum.attr import GuidedGradCam

    asked = GuidedGradCam(module, module.get_submodule(layer))
    return asked.attribute(x, target=seed.argmax(1), interpolate_mode="bilinear")


def zennit_image(name: str | None) -> Adapter:
    def ask(module: nn.Module, x: Tensor, seed: Tensor, layer: str) -> Tensor:
        from zennit import composites
        from zennit.attribution import Gradient

        with Gradient(module, getattr(composites, name)() if name else None) as attributor:
            return attributor(x, seed)[1]

    return ask


BOX = (0.0, 1.0)  # between which an image's values lie where nothing else is said


def zennit_relevance(name: str, canonizer: str = "", **options: object) -> Adapter:
    """Relevance of seed · logits, with a stabiliser that grows with the values, as this project's does: zennit has
    that, and leaves it off."""

    def ask(module: nn.Module, x: Tensor, seed: Tensor, layer: str) -> Tensor:
        from zennit import composites, rules, torchvision, types
        from zennit.attribution import Gradient
        from zennit.core import Stabilizer

        given: dict[str, object] = {"stabilizer": Stabilizer(1e-6, norm_scale=True)}
        given |= {"canonizers": [getattr(torchvision, canonizer)()]} if canonizer else {}
        if name == "Epsilon":  # which has no composite of its own
            rule = (types.Linear, rules.Epsilon(epsilon=given["stabilizer"]))
            kept = given.pop("stabilizer")
            composite = composites.LayerMapComposite([*composites.layer_map_base(kept), rule], **given)
        else:
            given |= {"epsilon": given["stabilizer"]} if name.startswith("Epsilon") else {}
            given |= dict(zip(("low", "high"), map(x.new_tensor, BOX), strict=True)) if "Box" in name else {}
            composite = getattr(composites, name)(**given, **options)
        with Gradient(module, composite) as attributor:
            return attributor(x, lambda logits: (logits * seed).detach())[1]

    return ask


def captum_relevance(module: nn.Module, x: Tensor, seed: Tensor, layer: str) -> Tensor:
    """With its own rule, epsilon, everywhere."""
    from captum.attr import LRP

    return LRP(module).attribute(x, target=seed.argmax(1))


def grad_cam_guided(module: nn.Module, x: Tensor, seed: Tensor, layer: str) -> Tensor:
    """Image by image: it answers for the first one of a batch."""
    from pytorch_grad_cam import GuidedBackpropReLUModel

    ask = GuidedBackpropReLUModel(module)
    maps = [ask(x[i : i + 1].clone(), int(seed[i].argmax())) for i in range(len(x))]
    return torch.stack([torch.from_numpy(found.copy()).permute(2, 0, 1) for found in maps])


def grad_cam_guided_batch(module: nn.Module, x: Tensor, seed: Tensor, layer: str) -> Tensor:
    """The batch in one call, for the first image's class; what is not answered is zero."""
    from pytorch_grad_cam import GuidedBackpropReLUModel

    answer = torch.zeros_like(x)
    found = GuidedBackpropReLUModel(module)(x, int(seed[0].argmax()))
    answer[0] = torch.from_numpy(found.copy()).permute(2, 0, 1)
    return answer


def grad_cam_guided_twice(module: nn.Module, x: Tensor, seed: Tensor, layer: str) -> Tensor:
    """The second of two calls with the same tensors."""
    from pytorch_grad_cam import GuidedBackpropReLUModel

    ask, images, answers = GuidedBackpropReLUModel(module), list(x.split(1)), []
    for _ in range(2):
        answers = [ask(image, int(row.argmax())).copy() for image, row in zip(images, seed, strict=True)]
    return torch.stack([torch.from_numpy(found).permute(2, 0, 1) for found in answers])


def grad_cam_raw(name: str) -> Adapter:
    """Its own weighted sum, before it is scaled to 0..1 and resized in float32."""

    def ask(module: nn.Module, x: Tensor, seed: Tensor, layer: str) -> Tensor:
        import pytorch_grad_cam

        part = module.get_submodule(layer)
        with getattr(pytorch_grad_cam, name)(module, [part]) as cam:
            targets, kept = one_class_each(seed), cam.activations_and_grads
            cam(x, targets)
            primal, cts = kept.activations[0].detach().numpy(), [ct.numpy() for ct in kept.gradients[:1]]
            found = cam.get_cam_image(x, part, targets, primal, cts[0] if cts else None, False)
        return torch.relu(torch.from_numpy(found))

    return ask


def grad_cam_delivered(module: nn.Module, x: Tensor, seed: Tensor, layer: str) -> Tensor:
    from pytorch_grad_cam import GradCAM

    with GradCAM(module, [module.get_submodule(layer)]) as cam:
        return torch.from_numpy(cam(x, one_class_each(seed)))


def one_class_each(seed: Tensor) -> list[Callable[[Tensor], Tensor]]:
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    return [ClassifierOutputTarget(int(target)) for target in seed.argmax(1)]


def torchcam_cam(name: str, normalized: bool = False, **options: str) -> Adapter:
    def ask(module: nn.Module, x: Tensor, seed: Tensor, layer: str) -> Tensor:
        from torchcam import methods

        with getattr(methods, name)(module, layer, **options) as cam:
            return cam(seed.argmax(1).tolist(), module(x), normalized=normalized)[0].detach()

    return ask


def gated_features(module: nn.Module, x: Tensor, seed: Tensor, layer: str) -> Tensor:
    """Gates on the ReLUs of `module.features` alone, the rest of the network with its plain derivative."""

    class Guided(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return Gate.apply(x, torch.relu, "guided")

    for name, part in module.features.named_children():
        if isinstance(part, nn.ReLU):
            setattr(module.features, name, Guided())
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad((module(leaf) * seed).sum(), leaf)[0]


# usage -> what this project is told of it, for methods of many passes
OPTIONS: dict[str, dict[str, float]] = {
    "50 midpoints": {"steps": 50},
    "50 steps, trapezoid": {"steps": 50},
    "pixel by pixel": {"window": 1, "stride": 1},
    "2 by 2, side by side": {"window": 2, "stride": 2},
    "2 by 2, overlapping": {"window": 2, "stride": 1},
}

# (tool, method, usage) -> how it is asked; no usage where the tool is asked as its documentation says.
ADAPTERS: dict[tuple[str, str, str], Adapter] = {
    ("captum", "gradient", ""): captum_image("Saliency", abs=False),
    ("captum", "input_x_gradient", ""): captum_image("InputXGradient"),
    ("captum", "guided_backprop", ""): captum_image("GuidedBackprop"),
    ("captum", "deconvnet", ""): captum_image("Deconvolution"),
    ("captum", "grad_cam", ""): captum_grad_cam,
    ("captum", "guided_grad_cam", ""): captum_guided_grad_cam,
    ("captum", "hires_cam", ""): captum_gradient_times_value,
    ("captum", "integrated_gradients", "50 midpoints"): captum_image(
        "IntegratedGradients", method="riemann_middle", n_steps=50
    ),
    ("captum", "integrated_gradients", "50 steps, trapezoid"): captum_image(
        "IntegratedGradients", method="riemann_trapezoid", n_steps=50
    ),
    ("captum", "occlusion", "pixel by pixel"): captum_occlusion(1, 1),
    ("captum", "occlusion", "2 by 2, side by side"): captum_occlusion(2, 2),
    ("captum", "occlusion", "2 by 2, overlapping"): captum_occlusion(2, 1),
    ("zennit", "gradient", ""): zennit_image(None),
    ("zennit", "guided_backprop", ""): zennit_image("GuidedBackprop"),
    ("zennit", "deconvnet", ""): zennit_image("DeconvNet"),
    **{
        ("zennit", method, canonizer): zennit_relevance(name, canonizer, **options)
        for method, name, options in (
            ("lrp_epsilon", "Epsilon", {}),
            ("lrp_epsilon_plus", "EpsilonPlus", {}),
            ("lrp_epsilon_gamma_box", "EpsilonGammaBox", {}),
            ("lrp_epsilon_plus_flat", "EpsilonPlusFlat", {}),
            ("lrp_epsilon_alpha2_beta1", "EpsilonAlpha2Beta1", {}),
            ("lrp_epsilon_alpha2_beta1_flat", "EpsilonAlpha2Beta1Flat", {}),
            ("excitation_backprop", "ExcitationBackprop", {"zero_params": ["bias"]}),
        )
        for canonizer in ("", "VGGCanonizer", "ResNetCanonizer")
    },
    ("captum", "lrp_epsilon", ""): captum_relevance,
    ("grad-cam", "guided_backprop", ""): grad_cam_guided,
    ("grad-cam", "guided_backprop", "batch in one call"): grad_cam_guided_batch,
    ("grad-cam", "guided_backprop", "second call"): grad_cam_guided_twice,
    ("grad-cam", "grad_cam", ""): grad_cam_raw("GradCAM"),
    ("grad-cam", "hires_cam", ""): grad_cam_raw("HiResCAM"),
    ("grad-cam", "xgrad_cam", ""): grad_cam_raw("XGradCAM"),
    ("grad-cam", "layer_cam", ""): grad_cam_raw("LayerCAM"),
    ("grad-cam", "grad_cam_plus_plus", ""): grad_cam_raw("GradCAMPlusPlus"),
    ("grad-cam", "eigen_cam", ""): grad_cam_raw("EigenCAM"),
    ("grad-cam", "ablation_cam", ""): grad_cam_raw("AblationCAM"),
    ("grad-cam", "grad_cam", "as delivered"): grad_cam_delivered,
    ("torchcam", "cam", ""): torchcam_cam("CAM", fc_layer="fc"),
    ("torchcam", "grad_cam", ""): torchcam_cam("GradCAM"),
    ("torchcam", "grad_cam_plus_plus", ""): torchcam_cam("GradCAMpp"),
    ("torchcam", "xgrad_cam", ""): torchcam_cam("XGradCAM"),
    ("torchcam", "layer_cam", ""): torchcam_cam("LayerCAM"),
    ("torchcam", "grad_cam", "as delivered"): torchcam_cam("GradCAM", normalized=True),
    (HANDBOOK, "guided_backprop", ""): gated_features,
}
