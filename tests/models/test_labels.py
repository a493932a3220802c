"""Names of classes, in the forms that people keep them in."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.models.labels import class_names

NAMES = ["cat", "great white shark", "äöü"]
FORMS: dict[str, Any] = {
    "list": NAMES,
    "id2label": {"0": NAMES[0], "1": NAMES[1], "2": NAMES[2]},
    "out of order": {"2": NAMES[2], "0": NAMES[0], "1": NAMES[1]},
    "imagenet_class_index": {str(index): [f"n0{index}", name] for index, name in enumerate(NAMES)},
    "class_to_idx": {name: index for index, name in enumerate(NAMES)},
    "config of transformers": {"id2label": {str(i): name for i, name in enumerate(NAMES)}, "layers": 3},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_from_json_and_taken_as_it_is(form: str, tmp_path: Path) -> None:
    assert class_names(FORMS[form], 3) == NAMES
    for name in ("labels.json", "labels.txt"):
        (tmp_path / name).write_text(json.dumps(FORMS[form]), "utf-8")
        assert class_names(str(tmp_path / name), 3) == NAMES


def test_numbers_as_keys_and_tuples() -> None:
    assert class_names(dict(enumerate(NAMES)), 3) == NAMES
    assert class_names(tuple(NAMES), 3) == NAMES


@pytest.mark.parametrize("text", ["cat\ngreat white shark\näöü\n\n", "\ufeffcat\r\n great white shark \r\näöü"])
def test_a_name_on_each_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(text.encode())
    assert class_names(path, 3) == NAMES


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"cat\ndog\n", r"^names.txt has 2 names, the network has 3 classes$"),
        (b'{"0": "cat", "2": "owl", "3": "dog"}', r"^names.txt has no name for class 1; indices go from 0 to 2"),
        (b'{"cat": "dog"}', r"^names.txt has 'cat': 'dog', which is no index"),
        (b"[1, 2", r"^names.txt is no JSON"),
        (b"\xff\xfe\x00cat", r"^names.txt is no text in UTF-8"),
    ],
)
def test_what_are_no_names_for_the_classes_is_told(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        class_names(tmp_path / "names.txt", 3)


def test_a_file_that_is_not_there_and_json_that_is_a_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^can't read the labels gone.txt: No such file or directory$"):
        class_names(tmp_path / "gone.txt", 3)
    (tmp_path / "one.json").write_text("3")
    with pytest.raises(ValueError, match=r"^one.json is neither a list"):
        class_names(tmp_path / "one.json", 3)
    with pytest.raises(ValueError, match=r"^labels has 2 names, the network has 3 classes$"):
        class_names(["cat", "dog"], 3)
