"""Composites of relevance rules: which rule each kind of call gets. The names are the field's.

What a composite does not say is the same in all: sums by their terms, a product's relevance to its signal, pools
by what won or in proportion, activations pass all, moves move it. See `relevance` and `sharing` for the rules.
"""

from collections.abc import Mapping
from dataclasses import replace

from . import kinds
from .attending import AlongAttention, all_to_each, evenly_reduced, half_to_each, size_evenly, whole
from .policy import Policy, Replacement
from .relevance import AlphaBeta, Contrasted, Epsilon, Flat, Gamma, ZBox, ZPlus
from .sharing import (
    by_terms,
    half_each,
    moved,
    nothing,
    of_attention,
    of_cumulation,
    of_gate,
    of_matmul,
    of_matmul_whole,
    of_norm,
    of_reduction,
    of_softmax,
    of_values_alone,
    passed,
    proportional,
    to_the_signal,
)

WITHOUT_WEIGHTS: Mapping[str, Replacement] = {
    kinds.SUM: by_terms,
    kinds.PRODUCT: to_the_signal,
    kinds.MATMUL: of_matmul,
    kinds.ATTENTION: of_attention,
    kinds.SOFTMAX: of_softmax,
    kinds.NORM: of_norm,
    **dict.fromkeys((kinds.RECTIFIER, kinds.SMOOTH, kinds.CLAMP, kinds.ELEMENTWISE, kinds.FLAT), passed),
    kinds.SQUASH: of_gate,
    kinds.AVERAGE_POOL: proportional,
    kinds.RESAMPLING: proportional,
    kinds.REDUCTION: of_reduction,
    kinds.CUMULATION: of_cumulation,
    **dict.fromkeys((kinds.MAX_POOL, kinds.EXTREME, kinds.CHOICE), moved),
    **dict.fromkeys((kinds.RESHAPE, kinds.PERMUTE, kinds.CUT, kinds.JOIN, kinds.PAD, kinds.ROLL), moved),
    **dict.fromkeys((kinds.REORDER, kinds.COPY, kinds.IDENTITY), moved),
}


def composite(
    name: str,
    rules: Mapping[str, Replacement],
    first: Mapping[str, Replacement] | Replacement | None = None,
    last: Mapping[str, Replacement] | Replacement | None = None,
) -> Policy:
    """A policy that carries relevance: `rules` by kinds, over what all composites have in common.

    first, last: the rules of the linear calls that the image comes to first, or of the last ones; one for all
    kinds of them, or a dictionary too. Raises ValueError for a kind that is not one of `kinds`, and where
    convolutions or linear layers have none.
    """
    missing = {kinds.CONVOLUTION, kinds.DENSE} - {*rules}
    if missing:
        raise ValueError(f"{name}: say what rule calls of the kind {' and '.join(sorted(missing))} have")
    return Policy(name, {**WITHOUT_WEIGHTS, **rules}, _table(first), _table(last), relevance=True, alone=True)


def _table(rules: Mapping[str, Replacement] | Replacement | None) -> Mapping[str, Replacement]:
    return _over(rules, rules) if callable(rules) else rules or {}


def _over(convolution: Replacement, dense: Replacement) -> dict[str, Replacement]:
    return {kinds.CONVOLUTION: convolution, kinds.DENSE: dense}


# The weights of attention are held constant: all goes to the values.
CONSTANT_ATTENTION = {kinds.ATTENTION: of_values_alone, kinds.SOFTMAX: nothing, kinds.MATMUL: of_matmul_whole}
# What follows the mass of tokens; see `attending`.
OF_TOKENS: Mapping[str, Replacement] = {
    **_over(Flat(), Flat()),
    **dict.fromkeys((kinds.ATTENTION, kinds.MATMUL), AlongAttention()),
    kinds.SUM: half_to_each,
    kinds.SOFTMAX: nothing,
    kinds.NORM: whole,
    kinds.REDUCTION: evenly_reduced,
    **dict.fromkeys((kinds.AVERAGE_POOL, kinds.RESAMPLING), moved),
}
BY_GRADIENT: Mapping[str, Replacement] = {
    **OF_TOKENS,
    **dict.fromkeys((kinds.ATTENTION, kinds.MATMUL), AlongAttention(by_gradient=True)),
    kinds.SUM: all_to_each,
    # The paper follows attention alone: a token's own two layers, with an activation between, add nothing.
    **dict.fromkeys((kinds.RECTIFIER, kinds.SMOOTH), nothing),
}
ATTENDING = (kinds.ATTENTION, kinds.SOFTMAX)
HEAD = _over(size_evenly, size_evenly)
EXCITATION = _over(ZPlus(bias=False), ZPlus(bias=False))
COMPOSITES = (
    composite("lrp_epsilon_plus", _over(ZPlus(), Epsilon())),
    composite("lrp_epsilon_gamma_box", _over(Gamma(0.25), Epsilon()), first=ZBox()),
    composite("lrp_epsilon", _over(Epsilon(), Epsilon())),
    composite("lrp_epsilon_plus_flat", _over(ZPlus(), Epsilon()), first=Flat()),
    composite("lrp_epsilon_alpha2_beta1", _over(AlphaBeta(2, 1), Epsilon())),
    composite("lrp_epsilon_alpha2_beta1_flat", _over(AlphaBeta(2, 1), Epsilon()), first=Flat()),
    composite("attn_lrp", _over(Epsilon(), Epsilon()) | {kinds.PRODUCT: half_each}),
    composite("cp_lrp", _over(Epsilon(), Epsilon()) | CONSTANT_ATTENTION),
    composite("libragrad", _over(Epsilon(), Epsilon()) | CONSTANT_ATTENTION | {kinds.PRODUCT: half_each}),
    replace(composite("attention_rollout", OF_TOKENS, last=HEAD), follows=ATTENDING),
    replace(
        composite("gradient_rollout", BY_GRADIENT, last=HEAD),
        follows=ATTENDING,
        gradients=(kinds.ATTENTION, kinds.MATMUL),
    ),
    composite("excitation_backprop", EXCITATION),
    composite("contrastive_excitation_backprop", EXCITATION, last=Contrasted()),
)
