import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wording import clean, sentence


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("open /root/.ollama/models/blobs/sha256-1: permission denied", "open …: permission denied"),
        ('Get "https://me:pw@r.example/v2/": EOF', "Get …: EOF"),
        ("dial tcp 10.0.0.7:11434: refused", "dial tcp …: refused"),
        (r"open C:\Users\ada\blob: denied", "open …: denied"),
        ("a\x1b[31mred\x07\nline", "a [31mred line"),
        ("  ", "it gave no reason"),
        ("and/or stays, 3 / 4 as well", "and/or stays, 3 / 4 as well"),
        ("x" * 999, "x" * 200),
    ],
)
def test_a_servers_words_are_cleaned_of_paths_and_addresses(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(
    st.text(),
    st.sampled_from(["/srv/models/blob", "http://10.1.2.3:11434/api", "/home/ada/.ollama/id_ed25519"]),
    st.text(),
)
def test_no_path_survives_wherever_it_stands(before: str, secret: str, after: str) -> None:
    shown = clean(f"{before} {secret} {after}")
    assert secret not in shown
    assert "\n" not in shown
    assert not re.search(r"[\x00-\x1f\x7f]", shown)


def test_a_sentence_begins_with_a_capital() -> None:
    assert sentence("the model server fell silent.") == "The model server fell silent."
    assert sentence("") == ""
