"""Guided stories: a few steps each, every one an address of the page with a sentence about what is seen there."""

from dataclasses import dataclass
from urllib.parse import urlencode

from .language import say

LITE = {
    "model": "efficientnet_lite0"
}  # what the sentences are about; included, so that no story waits for a download


@dataclass(frozen=True)
class Step:
    """What is said, as `say` takes it, and where: the fields of the page's address, and the panel that is open."""

    text: str
    at: dict[str, str]
    panel: str = ""


@dataclass(frozen=True)
class Story:
    """name: in the page. title: a question, as `say` takes it."""

    name: str
    title: str
    steps: tuple[Step, ...]


CAT, PAIR = {"photo": "chelsea"}, {"photo": "coffee-and-chelsea"}
STORIES = (
    Story(
        "class", "Why this class and not another?",
        (
            Step(
                "The network's first guess is tiger cat. Yellow is where its last layer holds the evidence for "
                "that, dark is where it holds none.",
                CAT | {"why": "tiger cat"},
            ),
            Step(
                "Egyptian cat comes close behind. This map shows only what speaks for one rather than for the "
                "other: what both have in common, cat, is gone.",
                CAT | {"why": "tiger cat", "rather": "Egyptian cat"},
            ),
            Step(
                "Now ask for a goldfish. There is a map too, since every class has one. Look at the "
                "probability in the head and at the range below before you believe a picture.",
                CAT | {"why": "goldfish"},
            ),
            Step(
                "Two things in one photo. The question is espresso, and the heat lies on the cup.",
                PAIR | {"why": "espresso"},
            ),
            Step(
                "The same photo, the other question: the heat has moved to the cat. A map that stays where it "
                "is, whatever is asked, knows nothing of the class.",
                PAIR | {"why": "tiger cat"},
            ),
        ),
    ),
    Story(
        "layers", "What do the layers see?",
        (
            Step(
                "An early layer: many small units, each of which sees a few pixels. They answer to edges and "
                "fur, and hardly to what the animal is.",
                CAT | {"why": "tiger cat", "layer": "blocks.1.1"},
            ),
            Step(
                "Half way. Units see larger parts, an eye, an ear; what speaks for the class begins to gather.",
                CAT | {"why": "tiger cat", "layer": "blocks.3.2"},
            ),
            Step(
                "The last layer: seven by seven places, each of which sees nearly the whole photo. Use the "
                "play button under the slider to watch all of them in a row.",
                CAT | {"why": "tiger cat"},
            ),
            Step(
                "Back to the pixels: guided backprop follows what was active all the way down. It shows fine "
                "structure, and less about the class than one would think.",
                CAT | {"why": "tiger cat", "method": "guided_backprop"},
            ),
        ),
    ),
    Story(
        "trust", "Can you trust it?",
        (
            Step(
                "Grad-CAM at an inner layer. It looks as convincing as ever; the line in orange says why it is "
                "not to be believed here.",
                CAT | {"why": "tiger cat", "method": "grad_cam", "layer": "blocks.3.2"},
            ),
            Step(
                "HiResCAM from the same backward pass, at the same layer: each place has its own gradient, so "
                "the map adds up to what the layer says about the class.",
                CAT | {"why": "tiger cat", "method": "hires_cam", "layer": "blocks.3.2"},
            ),
            Step(
                "Deconvnet for the cat …",
                PAIR | {"why": "tiger cat", "method": "deconvnet"},
            ),
            Step(
                '… and for the espresso: nearly the same picture. Below, "Can it be believed?" says so in '
                "numbers: it does not know the class.",
                PAIR | {"why": "espresso", "method": "deconvnet"},
                panel="trust",
            ),
            Step(
                "A check without any gradient: a window hides one place after the other, and the map shows "
                "what the score loses. Where two ways agree, there is reason to believe both.",
                PAIR | {"why": "tiger cat", "method": "occlusion"},
            ),
        ),
    ),
)  # fmt: skip


def address(step: Step) -> str:
    """Where a step is, from the "?" on."""
    panel = {"panel": step.panel} if step.panel else {}
    return f"?{urlencode(LITE | {'method': 'hires_cam'} | step.at | panel)}"


def told() -> list[dict[str, object]]:
    """The stories for the browser, in the language that is spoken."""
    return [
        {
            "name": story.name,
            "title": say(story.title),
            "steps": [{"text": say(step.text), "at": address(step)} for step in story.steps],
        }
        for story in STORIES
    ]
