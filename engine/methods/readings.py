"""What is read at a place: (primal, cotangent) -> map, plain functions that TorchScript takes as they are.

At the image, x [N, C, H, W] and the cotangent there, both at once for a method that multiplies them. At a layer,
its value A and the cotangent ct, [N, C, h, w] both, and the map is [N, h, w].
"""

import torch
from torch import Tensor


def signed(primal: Tensor, ct: Tensor) -> Tensor:
    """∂ logit / ∂ x as it is: [N, C, H, W], signed."""
    return ct


def largest_absolute(primal: Tensor, ct: Tensor) -> Tensor:
    """max_c |∂ logit / ∂ x_c|: [N, H, W], never negative."""
    return ct.abs().amax(1)


def input_times(primal: Tensor, ct: Tensor) -> Tensor:
    """x · ∂ logit / ∂ x: [N, C, H, W]; on a ReLU network its sum and the bias terms make up the logit."""
    return primal * ct


def relevance(primal: Tensor, relevance: Tensor) -> Tensor:
    """What is carried back as it is, relevance: [N, C, H, W], signed."""
    return relevance


def relevance_of_places(primal: Tensor, relevance: Tensor) -> Tensor:
    """Σ_c R_c, all channels of a place: [N, h, w], signed."""
    return relevance.sum(1)


def full_gradient(primal: Tensor, ct: Tensor) -> Tensor:
    """The image's own part of FullGrad, Σ_c of |x · ∂ logit / ∂ x| brought to 0..1: [N, H, W]."""
    return spread_out(primal * ct)


def spread_out(part: Tensor) -> Tensor:
    """Σ_c of |part|, brought to 0..1 over all channels and pixels of an image: [N, C, h, w] -> [N, h, w]."""
    size = part.abs()
    low, high = size.flatten(1).amin(1)[:, None, None], size.flatten(1).amax(1)[:, None, None]
    # Sum first: it is the same, and one map in the place of many.
    reach = torch.where(high > low, high - low, torch.ones_like(low))
    return (size.sum(1) - low * size.shape[1]) / reach


def class_activation(primal: Tensor, ct: Tensor) -> Tensor:
    """Σ_c w_c A_c with the head's weights w: [N, h, w], signed.

    Behind a global average, the cotangent of A_c is w_c / (h w) at each pixel, so its sum is the weight itself.
    """
    return weighted(primal, total(ct))


def grad_cam(primal: Tensor, ct: Tensor) -> Tensor:
    """max(0, Σ_c α_c A_c) with α_c the mean of the cotangent over the pixels: [N, h, w]."""
    return torch.relu(weighted(primal, mean(ct)))


def hires_cam(primal: Tensor, ct: Tensor) -> Tensor:
    """max(0, Σ_c A_c ct_c), each value by its own cotangent: [N, h, w]."""
    return torch.relu(weighted(primal, ct))


def layer_cam(primal: Tensor, ct: Tensor) -> Tensor:
    """max(0, Σ_c A_c max(0, ct_c)): [N, h, w]."""
    return torch.relu(weighted(primal, torch.relu(ct)))


def grad_cam_plus_plus(primal: Tensor, ct: Tensor) -> Tensor:
    """max(0, Σ_c w_c A_c) with w_c = Σ_ij a_ij max(0, ct_ij) and, for an output exp(logit), equation 19

        a = ct² / (2 ct² + S ct³) = 1 / (2 + S ct)        S = Σ_ij A_ij of the channel

    Only positive ct have a part in it. The paper's A come from a ReLU, so S >= 0; of other activations S may be
    negative, and a have a pole. S counts as zero there, and a stays between 0 and 1/2. [N, h, w].
    """
    passed = torch.relu(ct)
    activity = torch.relu(primal.sum([2, 3], keepdim=True))
    return torch.relu(weighted(primal, (passed / (2 + activity * passed)).sum([2, 3])))


def xgrad_cam(primal: Tensor, ct: Tensor) -> Tensor:
    """max(0, Σ_c w_c A_c) with w_c = Σ_ij ct_ij A_ij / Σ_ij A_ij: [N, h, w].

    Where a channel's values cancel, which those behind a ReLU never do, the quotient is of rounding alone; the
    weight is 0 where the sum is below a thousandth of the sum of absolute values.
    """
    sums = primal.sum([2, 3])
    cancels = sums.abs() <= 1e-3 * primal.abs().sum([2, 3])
    weights = (primal * ct).sum([2, 3]) / torch.where(cancels, torch.ones_like(sums), sums)
    return torch.relu(weighted(primal, torch.where(cancels, torch.zeros_like(sums), weights)))


def eigen_cam(primal: Tensor, ct: Tensor) -> Tensor:
    """The values of a layer, pixels by channels, along their first right singular vector: [N, h, w], signed.

    A = U Σ V' gives A v_1 = σ_1 u_1, without centring, as in the paper. A singular vector has no sign of its own;
    here the value that is largest without sign is positive. The smaller of A A' and A' A has u_1 or v_1 as the
    eigenvector of its largest eigenvalue.
    """
    pixels = primal.double().flatten(2).transpose(1, 2)  # for the products square what rounding does
    finite = pixels.isfinite().flatten(1).all(1, keepdim=True)
    pixels = torch.nan_to_num(pixels, 0.0, 0.0, 0.0)  # of what is not a number eigh would raise
    if pixels.shape[1] <= pixels.shape[2]:
        values, vectors = torch.linalg.eigh(torch.matmul(pixels, pixels.transpose(1, 2)))
        map = vectors[:, :, -1] * values[:, -1:].clamp(min=0).sqrt()
    else:
        values, vectors = torch.linalg.eigh(torch.matmul(pixels.transpose(1, 2), pixels))
        map = torch.matmul(pixels, vectors[:, :, -1:])[:, :, 0]
    largest = map.gather(1, map.abs().argmax(1, keepdim=True))
    map = torch.where(finite, torch.where(largest < 0, -map, map), torch.full_like(map, float("nan")))
    return map.view(primal.shape[0], primal.shape[2], primal.shape[3]).to(primal.dtype)


def of_scores(primal: Tensor, ct: Tensor) -> Tensor:
    """Nothing: the map is made of scores, and no cotangent has a part in it."""
    return primal


def itself(ct: Tensor) -> Tensor:
    """The cotangent as the weights of a map's values, one for each: [N, C, h, w]."""
    return ct


def total(ct: Tensor) -> Tensor:
    """The sum over the pixels: [N, C]."""
    return ct.permute(0, 2, 3, 1).flatten(1, 2).sum(1) if ct.stride(1) == 1 else ct.sum([2, 3])


def mean(ct: Tensor) -> Tensor:
    """The mean over the pixels: [N, C]. Of channels that lie together it is faster over pixels as one axis."""
    return ct.permute(0, 2, 3, 1).flatten(1, 2).mean(1) if ct.stride(1) == 1 else ct.mean([2, 3])


def weighted(primal: Tensor, weights: Tensor) -> Tensor:
    """Σ_c w_c A_c, with weights [N, C] for whole channels or [N, C, h, w] for each value: [N, h, w].

    With one for a channel it is a product that reads the primal once and keeps nothing. Where channels lie
    together, it is one product for each row of pixels, which all threads share. Laid out as [1, C], the weights of
    a row are a vector to the product even when transposed, which halves its time.
    """
    if weights.dim() == 4:
        return (primal * weights).sum(1)
    images, channels, height, width = primal.shape
    if primal.stride(1) != 1:
        return torch.bmm(weights.unsqueeze(1), primal.flatten(2)).view(images, height, width)
    rows = primal.permute(0, 2, 3, 1).reshape(images * height, width, channels)
    vectors = weights.unsqueeze(1).expand(images, height, channels).reshape(images * height, 1, channels)
    return torch.bmm(rows, vectors.transpose(1, 2)).view(images, height, width)


def minus_shift(sums: Tensor, weights: Tensor, shift: Tensor) -> Tensor:
    """Σ_c w_c (A_c - shift_c), from Σ_c w_c A_c: [N, h, w]."""
    flat = shift.flatten().to(weights.dtype)
    if weights.dim() == 4:
        return sums - weighted(weights, flat.expand(weights.shape[0], -1))
    return sums - torch.mv(weights, flat).view(-1, 1, 1)
