"""What is said again is guessed, and what is not costs next to nothing."""

from __future__ import annotations

import gc
import random

import pytest

from engine.detokenizer import StopChecker, StreamDecoder
from engine.sampling_params import SamplingParams
from engine.sequence import Sequence
from engine.speculation import Lookup, NGramProposer
from engine.step_cost import StepCost

CHEAP = StepCost((1, 1.0), (4, 1.3), (8, 1.7), (16, 2.8))
LINEAR = StepCost((1, 1.0), (2, 2.0))


def sequence(tokens: list[int]) -> Sequence:
    decoder = StreamDecoder(lambda token: b"")
    return Sequence("r", tokens, len(tokens), 10_000, SamplingParams(), 0, decoder, StopChecker(()))


def guessed(tokens: list[int], room: int = 4) -> list[int]:
    return [token for token, _ in Lookup(tokens).guess(room)]


def random_tokens(size: int, kinds: int = 40_000) -> list[int]:
    source = random.Random(5)
    return [source.randrange(kinds) for _ in range(size)]


def write(proposer: NGramProposer, text: list[int], start: int, running: int = 1) -> tuple[int, int, int]:
    """Let a sequence write `text` from `start` on. Returns its steps, guesses and right guesses."""
    one = sequence(text[:start])
    steps = proposed = accepted = 0
    while len(one.tokens) < len(text):
        proposer.begin_step(running)
        drafts = proposer.propose(one, len(text) - len(one.tokens) - 1)
        right = 0
        while right < len(drafts) and drafts[right] == text[len(one.tokens) + right]:
            right += 1
        one.tokens.extend(text[len(one.tokens) : len(one.tokens) + right + 1])
        steps, proposed, accepted = steps + 1, proposed + len(drafts), accepted + right
    return steps, proposed, accepted


def test_what_followed_the_last_tokens_before_is_guessed_to_follow_again() -> None:
    assert guessed([1, 2, 3, 4, 5, 6, 7, 1, 2, 3]) == [4, 5, 6, 7]


def test_of_several_places_the_last_one_counts() -> None:
    assert guessed([1, 2, 3, 4, 0, 1, 2, 3, 5, 9, 1, 2, 3], 2) == [5, 9]


def test_three_tokens_that_were_said_before_count_more_than_two() -> None:
    assert guessed([1, 2, 3, 4, 0, 9, 2, 3, 5, 0, 1, 2, 3], 1) == [4]


def test_two_tokens_that_were_said_before_are_enough() -> None:
    assert guessed([2, 3, 4, 5, 9, 2, 3], 1) == [4]


def test_a_text_that_goes_in_circles_is_guessed_beyond_its_end() -> None:
    assert guessed([1, 2, 3, 1, 2, 3, 1, 2], 5) == [3, 1, 2, 3, 1]


@pytest.mark.parametrize("tokens", [[], [1], [1, 2], [1, 2, 3], [1, 1], [1, 2, 3, 4, 5, 6, 7]])
def test_nothing_is_guessed_where_nothing_is_said_again(tokens: list[int]) -> None:
    assert guessed(tokens) == []


def test_there_are_never_more_guesses_than_room() -> None:
    lookup = Lookup([1, 2, 3] * 5)
    assert [len(lookup.guess(room)) for room in range(4)] == [0, 1, 2, 3]


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 50, 200])
def test_a_text_that_grows_is_known_as_well_as_one_that_is_there(cut: int) -> None:
    """Few kinds of tokens, so that much is said again. The places are the same; what was learned is not."""
    text = random_tokens(200, kinds=5)
    grows = text[:cut]
    lookup = Lookup(grows)
    for token in text[cut:]:
        grows.append(token)
        lookup.guess(0)
    assert lookup._followers == Lookup(text)._followers


def test_the_longer_a_match_is_the_likelier_its_guess() -> None:
    text = random_tokens(60)
    likelihoods = [Lookup(text + text[:size]).guess(1)[0][1] for size in range(2, 12)]
    assert likelihoods == sorted(likelihoods)
    assert likelihoods[0] < 0.3 < 0.8 < likelihoods[-1]


def test_guesses_that_come_true_are_trusted_more_and_others_less() -> None:
    pairs = [token for number in range(2, 60) for token in (0, 1, number)]
    before = Lookup([*pairs[:6], 0, 1]).guess(1)[0][1]
    grows = pairs[:6]
    lookup = Lookup(grows)
    for token in [*pairs[6:], 0, 1]:
        grows.append(token)
        guesses = lookup.guess(1)
    assert before > 0.1
    assert not guesses, "what was wrong fifty times is still believed"


def test_a_copy_takes_a_fraction_of_the_steps() -> None:
    text = random_tokens(300)
    steps, proposed, accepted = write(NGramProposer(CHEAP), text * 2, 302)
    assert accepted / proposed > 0.95
    assert steps < 60


def test_a_copy_with_changes_takes_fewer_steps_too() -> None:
    text = random_tokens(300)
    changed = [token if place % 20 else -token for place, token in enumerate(text)]
    steps, proposed, accepted = write(NGramProposer(CHEAP), text + changed, 302)
    assert accepted / proposed > 0.5
    assert steps < 150


def test_a_text_that_says_nothing_again_has_no_guesses() -> None:
    assert write(NGramProposer(CHEAP), random_tokens(500), 10)[1] == 0


def test_guesses_die_out_where_they_are_wrong() -> None:
    """Of 20 kinds of tokens, three have nearly always been said before, and what follows is another one."""
    steps, proposed, _ = write(NGramProposer(CHEAP), random_tokens(2000, kinds=20), 100)
    assert steps > 1800
    assert proposed < 200


def test_guessing_begins_again_where_a_text_begins_to_repeat_itself() -> None:
    noise, text = random_tokens(800, kinds=15), random_tokens(300)
    before = write(NGramProposer(CHEAP), noise + text, 10)[0]
    after = write(NGramProposer(CHEAP), noise + text * 2, 10)[0]
    assert after - before < 80


def test_rows_that_cost_as_much_as_steps_are_not_spent() -> None:
    assert write(NGramProposer(LINEAR), [1, 2, 3] * 100, 6)[1] == 0


def test_many_who_run_leave_less_for_guesses() -> None:
    """A step of 16 rows costs 0.14 a row more, and each of its tokens 0.18: only what is nearly certain pays."""
    text, source = random_tokens(600), random.Random(6)
    unsure = [token if source.random() < 0.6 else -token for token in text]
    alone = write(NGramProposer(CHEAP), text + unsure, 602, running=1)
    crowded = write(NGramProposer(CHEAP), text + unsure, 602, running=16)
    assert crowded[1] < alone[1] / 3


def test_a_sequence_that_is_gone_is_forgotten() -> None:
    proposer = NGramProposer(CHEAP)
    one = sequence([1, 2, 3])
    proposer.propose(one, 1)
    assert len(proposer._lookups) == 1
    del one
    gc.collect()
    assert not proposer._lookups
