"""The rows of relevance: what made up the score, handed back call by call. `rules.composites` has the rules."""

from .method import Method
from .places import THROUGHOUT
from .readings import relevance, relevance_of_places

BACH = "Bach et al. 2015, doi:10.1371/journal.pone.0130140"
MONTAVON = "Montavon et al. 2019, doi:10.1007/978-3-030-28954-6_10"
KOHLBRENNER = "Kohlbrenner et al. 2020, arXiv:1910.09840"
ZHANG = "Zhang et al. 2016, arXiv:1608.00507"
ACHTIBAT = "Achtibat et al. 2024, arXiv:2402.05602"
ALI = "Ali et al. 2022, arXiv:2202.07304"
MEHRI = "Mehri et al. 2025, arXiv:2411.16760"
ABNAR = "Abnar and Zuidema 2020, arXiv:2005.00928"
CHEFER = "Chefer et al. 2021, arXiv:2103.15679"
ROWS = (
    (
        "lrp_epsilon_plus", "LRP epsilon-plus", KOHLBRENNER,
        "The score, handed back from call to call to what spoke for it: which pixels it was made of.",
    ),
    (
        "lrp_epsilon_gamma_box", "LRP epsilon-gamma-box", MONTAVON,
        "The score, handed back mostly to what spoke for it, and to pixels by how far they are from black and "
        "white.",
    ),
    (
        "lrp_epsilon", "LRP epsilon", BACH,
        "The score, handed back in proportion to what each value added or took off: sharp, and as noisy as a "
        "gradient.",
    ),
    (
        "lrp_epsilon_plus_flat", "LRP epsilon-plus-flat", KOHLBRENNER,
        "As LRP epsilon-plus, spread evenly over what the first layer sees: regions in the place of pixels.",
    ),
    (
        "lrp_epsilon_alpha2_beta1", "LRP epsilon-alpha2-beta1", KOHLBRENNER,
        "The score, handed back twice to what spoke for it, less once what spoke against it.",
    ),
    (
        "lrp_epsilon_alpha2_beta1_flat", "LRP epsilon-alpha2-beta1-flat", KOHLBRENNER,
        "As LRP epsilon-alpha2-beta1, spread evenly over what the first layer sees.",
    ),
    (
        "attn_lrp", "AttnLRP", ACHTIBAT,
        "The score of a transformer, handed back through attention to values, queries and keys alike.",
    ),
    (
        "cp_lrp", "CP-LRP", ALI,
        "The score of a transformer, handed back through the values alone, with attention as it was.",
    ),
    (
        "libragrad", "LibraGrad", MEHRI,
        "The image times its gradient, with attention and deviations held constant, activations by their slope "
        "from zero, and products halved.",
    ),
    (
        "attention_rollout", "Attention rollout", ABNAR,
        "Where the attention of all blocks leads, multiplied up. It is blind to the class: it shows what was "
        "attended to, not what speaks for anything.",
    ),
    (
        "gradient_rollout", "Gradient rollout", CHEFER,
        "Where the attention of all blocks leads that speaks for the class, each weight by its gradient.",
    ),
    (
        "excitation_backprop", "Excitation backprop", ZHANG,
        "The score, as chances that go down to whatever excited a unit: where what is answerable lies.",
    ),
    (
        "contrastive_excitation_backprop", "Contrastive excitation backprop", ZHANG,
        "Excitation backprop less that of the opposite of the class: what speaks for it rather than for all else.",
    ),
)  # fmt: skip
RELEVANCE = tuple(
    Method(
        name, name, THROUGHOUT, relevance, title, cite, says,
        signed=True, read_layers=relevance_of_places, alone=True, chosen=index > 0,
    )
    for index, (name, title, cite, says) in enumerate(ROWS)
)  # fmt: skip
