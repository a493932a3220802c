"""Rollouts through attention, held against the papers' own products of matrices, token by token."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine import Explainer, compile_model
from engine.errors import CompileError

SIDE, PATCH, WIDTH, HEADS = 16, 4, 12, 3
TOKENS = (SIDE // PATCH) ** 2


class Vit(nn.Module):
    """A small vision transformer that keeps its weights of attention. by_hand: with a softmax between products."""

    def __init__(self, by_hand: bool, token: bool = True, blocks: int = 3) -> None:
        super().__init__()
        self.by_hand, self.kept, self.watched = by_hand, list[Tensor](), False
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH)) if token else None
        self.places = nn.Parameter(torch.randn(1, TOKENS + token, WIDTH))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2 * blocks))
        self.qkv = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(blocks))
        self.out = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(blocks))
        self.up = nn.ModuleList(nn.Linear(WIDTH, 2 * WIDTH) for _ in range(blocks))
        self.down = nn.ModuleList(nn.Linear(2 * WIDTH, WIDTH) for _ in range(blocks))
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = x if self.token is None else torch.cat([self.token.expand(x.shape[0], 1, WIDTH), x], 1)
        x = x + self.places
        for block, (qkv, out, up, down) in enumerate(zip(self.qkv, self.out, self.up, self.down, strict=True)):
            parts = qkv(self.norms[2 * block](x)).unflatten(-1, (3, HEADS, WIDTH // HEADS))
            q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
            if self.by_hand or self.watched:
                weights = (q @ k.transpose(-2, -1) / (WIDTH // HEADS) ** 0.5).softmax(-1)
                if self.watched:
                    self.kept.append(weights)
                y = weights @ v
            else:
                y = F.scaled_dot_product_attention(q, k, v)
            x = x + out(y.transpose(1, 2).flatten(2))
            x = x + down(F.gelu(up(self.norms[2 * block + 1](x))))
        return self.head(x.mean(1) if self.token is None else x[:, 0])


def attention_of(network: Vit, x: Tensor, index: int) -> tuple[list[Tensor], list[Tensor]]:
    """The weights of each block, and their gradients by a logit: [N, heads, tokens, tokens]."""
    network.watched, network.kept = True, []
    logits = network(x)
    weights = network.kept
    network.watched, network.kept = False, []
    return weights, list(torch.autograd.grad(logits[:, index].sum(), weights))


def drawn(**given: bool) -> Vit:
    torch.manual_seed(0)
    network = Vit(**given).double().eval()
    for value in network.parameters():
        nn.init.normal_(value, std=0.5)
    return network


X = torch.randn(2, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def compiled(network: nn.Module, name: str) -> Explainer:
    return compile_model(network, X, layers="all", methods=[name])


def row(matrices: list[Tensor], token: bool) -> Tensor:
    """What the head's token, or the mean of all, is made of: [N, tokens]. matrices: from the first block on."""
    whole = matrices[0]
    for matrix in matrices[1:]:
        whole = matrix @ whole
    return whole[:, 0] if token else whole.mean(1)


@pytest.mark.parametrize("token", [True, False], ids=["token", "mean"])
@pytest.mark.parametrize("by_hand", [True, False], ids=["products", "one call"])
@pytest.mark.parametrize("name", ["attention_rollout", "gradient_rollout"])
def test_a_patch_has_what_the_papers_matrices_say(name: str, by_hand: bool, token: bool) -> None:
    network, index = drawn(by_hand=by_hand, token=token), 3
    explainer = compiled(network, name)
    weights, gradients = attention_of(network, X, index)
    identity = torch.eye(TOKENS + token, dtype=torch.float64)
    if name == "attention_rollout":
        matrices = [(identity + one.mean(1)) / 2 for one in weights]
    else:
        matrices = [identity + (one * grad).relu().mean(1) for one, grad in zip(weights, gradients, strict=True)]
    wanted = row(matrices, token)[:, int(token) :].detach()  # of the class token no pixel knows
    seed = explainer.one_hot(index)
    map = explainer.explain(X, seed, name).sum(1)
    patches = F.avg_pool2d(map[:, None], PATCH, divisor_override=1).flatten(1)
    scale = explainer.forward(X)[:, index].abs()[:, None]
    torch.testing.assert_close(patches / scale, wanted, rtol=1e-5, atol=1e-9)  # ten stabilisers of 1e-6
    # And within a patch it is the same everywhere.
    assert F.unfold(map[:, None], PATCH, stride=PATCH).std(1).max() < 1e-9 * map.max()


def test_rollout_conserves_all_but_what_the_class_token_keeps() -> None:
    network = drawn(by_hand=False)
    explainer = compiled(network, "attention_rollout")
    weights, _ = attention_of(network, X, 0)
    identity = torch.eye(TOKENS + 1, dtype=torch.float64)
    kept = row([(identity + one.mean(1)) / 2 for one in weights], True)[:, 0].detach()
    _, _, arrived = explainer.explain_throughout(X, explainer.one_hot(0), "attention_rollout")
    sign = explainer.forward(X)[:, 0].sign()  # mass has none
    torch.testing.assert_close(arrived[:, 0], (1 - kept) * sign, rtol=5e-5, atol=0)
    network = drawn(by_hand=False, token=False)
    explainer = compiled(network, "attention_rollout")
    _, _, arrived = explainer.explain_throughout(X, explainer.one_hot(0), "attention_rollout")
    torch.testing.assert_close(arrived[:, 0].abs(), torch.ones_like(arrived[:, 0]), rtol=5e-5, atol=0)


def test_rollout_is_blind_to_the_class_and_the_gradients_are_not() -> None:
    network = drawn(by_hand=False)
    for name, blind in (("attention_rollout", True), ("gradient_rollout", False)):
        explainer = compiled(network, name)
        one, other = (explainer.explain(X, explainer.one_hot(index), name).flatten(1) for index in (0, 1))
        alike = F.cosine_similarity(one, other)
        assert bool((alike > 1 - 1e-9).all()) is blind, name


def test_the_certificate_holds_both() -> None:
    for name in ("attention_rollout", "gradient_rollout"):
        told = compiled(drawn(by_hand=True), name).manifest["certificate"]
        assert told["policies"][name] < 1e-9 and told["methods"][name] < 1e-9
        assert (name in told["starts"]) is (name == "attention_rollout")


def test_what_is_weighed_by_a_logits_gradient_starts_there() -> None:
    explainer = compiled(drawn(by_hand=False), "gradient_rollout")
    seed = torch.zeros(len(X), *explainer.manifest["layers"][0]["shape"], dtype=torch.float64)
    with pytest.raises((ValueError, torch.jit.Error), match="starts at the logits alone"):
        explainer.explain_from(X, 0, seed, "gradient_rollout")


@pytest.mark.parametrize("name", ["attention_rollout", "gradient_rollout"])
def test_without_attention_there_is_nothing_to_follow(name: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    with pytest.raises(CompileError, match="follows attention, and this network has none"):
        compile_model(network.double().eval(), X, methods=[name])


def test_an_activation_on_the_way_of_all_tokens_is_told() -> None:
    network = drawn(by_hand=False)
    network.patches = nn.Sequential(network.patches, nn.GELU())
    with pytest.raises(CompileError, match="nothing of the score comes to the image"):
        compile_model(network, X, methods=["gradient_rollout"])
