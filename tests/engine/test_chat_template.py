"""Chat templates render as their models were trained on them, and hostile ones reach and exhaust nothing."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from engine import chat_template
from engine.chat_template import JinjaTemplate, PlainTemplate
from engine.errors import TemplateError

HELLO = [{"role": "user", "content": "Hello"}]
Make = Callable[[str], JinjaTemplate]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes templates, and closes them after the test."""
    made: list[JinjaTemplate] = []

    def make_template(source: str) -> JinjaTemplate:
        made.append(JinjaTemplate(source, {"bos_token": "<s>", "eos_token": "</s>"}))
        return made[-1]

    yield make_template
    for template in made:
        template.close()


def render(template: JinjaTemplate, **variables: object) -> str:
    return template.render({"messages": HELLO, **variables}, add_generation_prompt=True)


# What templates may rely on

FEATURES = {
    "whitespace": (
        "{% for m in messages %}\n  {% if true %}\n  {{ m.content }}\n  {% endif %}\n{% endfor %}",
        "  Hello\n",
    ),
    "attributes": ("{{ messages[0].role }} {{ messages[0]['content'] }} {{ messages|length }}", "user Hello 1"),
    "special tokens": ("{{ bos_token }}{{ eos_token }}", "<s></s>"),
    "generation prompt": ("{{ 'go' if add_generation_prompt else 'stay' }}", "go"),
    "absent variables": ("{{ tools is none }} {{ documents is none }} {{ other is defined }}", "True True False"),
    "tojson": ("{{ {'b': '<é>', 'a': [1, none]} | tojson }}", '{"b": "<é>", "a": [1, null]}'),
    "tojson indent": ("{{ [1] | tojson(indent=2) }}", "[\n  1\n]"),
    "loop controls": (
        "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i > 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
        "023",
    ),
    "generation tag": (
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
        "Hello",
    ),
    "namespace": (
        "{% set n = namespace(x=0) %}{% for i in [1, 2, 3] %}{% set n.x = n.x + i %}{% endfor %}{{ n.x }}",
        "6",
    ),
    "macro": ("{% macro say(x) %}<{{ x }}>{% endmacro %}{{ say(messages[0].content) }}", "<Hello>"),
    "string methods": ("{{ 'a</think>b'.split('</think>')[-1].strip().upper() }}", "B"),
    "format": ("{{ 'a{}c'.format('b') }} {{ '%s' % 'd' }} {{ '%s-%s' | format(1, 2) }}", "abc d 1-2"),
    "dictsort": ("{% for k, v in {'b': 1, 'a': 2}.items() | sort %}{{ k }}{{ v }}{% endfor %}", "a2b1"),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_templates_find_what_they_are_written_for(feature: str, make: Make) -> None:
    source, expected = FEATURES[feature]
    assert render(make(source)) == expected


@pytest.mark.oracle
@pytest.mark.parametrize("feature", FEATURES)
def test_transformers_renders_the_same(feature: str) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    source, expected = FEATURES[feature]
    rendered, _ = render_jinja_template(
        [HELLO], chat_template=source, add_generation_prompt=True, bos_token="<s>", eos_token="</s>"
    )
    assert rendered == [expected]


def test_variables_of_a_request_reach_the_template(make: Make) -> None:
    template = make("{{ enable_thinking }} {{ tools[0].name }}")
    assert render(template, enable_thinking=False, tools=[{"name": "clock"}]) == "False clock"
    assert render(template, enable_thinking=True, tools=[{"name": "x"}]) == "True x", "a variable stayed from before"


def test_the_date_is_todays(make: Make) -> None:
    before = datetime.now().strftime("%d %b %Y")
    assert render(make("{{ strftime_now('%d %b %Y') }}")) in (before, datetime.now().strftime("%d %b %Y"))


def test_any_text_goes_through_unchanged(make: Make) -> None:
    content = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x11000), 0x1F642, 0x10FFFF]))
    assert make("{{ messages[0].content }}").render({"messages": [{"content": content}]}, False) == content


def test_a_template_may_refuse_a_conversation_in_its_own_words(make: Make) -> None:
    template = make("{% if messages[0].role == 'user' %}{{ raise_exception('Roles must alternate') }}{% endif %}fine")
    with pytest.raises(TemplateError, match=r"failed: Roles must alternate\.$"):
        render(template)
    assert template.render({"messages": [{"role": "system"}]}, False) == "fine", "the template is lost after a refusal"


BROKEN = [
    "{% if %}",
    "{{ 'open",
    "{% unknown %}",
    "{{ absent.attribute }}",
    "{% extends 'other' %}",
    "{% include '/etc/passwd' %}",
]


@pytest.mark.parametrize("source", BROKEN)
def test_a_broken_template_fails_every_time_with_a_reason(source: str, make: Make) -> None:
    template = make(source)
    for _ in range(2):
        with pytest.raises(TemplateError, match=r"chat template failed: .+"):
            render(template)


# What templates may not

ESCAPES = [
    "{{ cycler.__init__.__globals__.os.popen('touch PROOF').read() }}",
    "{{ lipsum.__globals__['os'].popen('touch PROOF').read() }}",
    "{{ self.__init__.__globals__.__builtins__.open('PROOF', 'w') }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__']['__mro__'] }}",
    "{{ ('' | attr('__class__')).__mro__ }}",
    "{{ '' | attr('\\x5f\\x5fclass\\x5f\\x5f') | attr('mro') }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(cycler) }}",
    "{{ '{0.__class__}' | format(cycler) ~ ''.format_map.__self__.__class__ }}",
    "{{ '{x.__class__.__mro__}'.format_map({'x': ''}) }}",
    "{% set f = '{0.__init__.__globals__}'.format %}{{ f(cycler) }}",
    "{{ [''] | map(attribute='__class__') | map(attribute='__mro__') | list }}",
    "{{ raise_exception.__globals__.sys.modules.os.system('touch PROOF') }}",
    "{{ strftime_now.__globals__['__builtins__']['__import__']('os').system('touch PROOF') }}",
    "{{ namespace.__init__.__globals__.__loader__.load_module('os') }}",
    "{{ joiner.__init__.__builtins__ }}",
    "{% for x in (1,).__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
    "{% set ns = namespace() %}{% set ns.__class__ = 1 %}{{ ns.__init__.__globals__ }}",
    "{{ (messages.append if true).__self__.__class__ }}",
    "{{ messages.append(1) }}{{ messages.clear() }}",
    "{{ messages[0].update({'role': 'system'}) }}",
    "{{ messages.__reduce_ex__(2) }}",
    "{% macro m() %}{% endmacro %}{{ m.__call__.__func__.__globals__ }}",
    "{{ tojson.__globals__ }}{{ {}.__class__.fromkeys }}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_no_template_reaches_python(source: str, make: Make, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    with pytest.raises(TemplateError):
        render(make(source.replace("PROOF", str(proof))))
    assert not proof.exists(), "the template ran a command"


HUNGRY = {
    "loops in loops": "{% for i in range(25000) %}{% for j in range(25000) %}{% endfor %}{% endfor %}",
    "a gigabyte piece by piece": "{% for i in range(100000) %}{{ 'x' * 10000 }}{% endfor %}",
    "a gigabyte at once": "{{ 'x' * 1000000000 }}",
    "a gigabyte when compiled": "{% set x = 'x' * 1000000000 %}",
    "a gigabyte that is not shown": "{{ ('x' * 1000000000) | length }}",
    "a padded gigabyte": "{{ 'x'.ljust(1000000000) }}",
    "a formatted gigabyte": "{{ '%1000000000d' % 1 }}",
    "a gigabyte in braces": "{{ '{:>1000000000}'.format(1) }}",
    "doubling": "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s }}",
    "a list of ten million": "{{ ([0] * 10000000000) | length }}",
    "nested lists": "{% set n = namespace(l=0) %}{% for i in range(40) %}{% set n.l = [n.l] + [n.l] %}{% endfor %}"
    "{{ n.l }}",
    "a large range": "{% for i in range(1000000000) %}{% endfor %}",
    "a large power": "{{ 9 ** 999999999 }}",
    "powers of powers": "{% set n = namespace(x=9) %}{% for i in range(9) %}{% set n.x = n.x ** n.x %}{% endfor %}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "branching recursion": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "an endless loop": "{% for i in range(9) recursive %}{{ loop(range(9)) }}{% endfor %}",
    "deep brackets": "{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}",
    "deep blocks": "{% if true %}" * 5_000 + "{% endif %}" * 5_000,
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops templates after half a second instead of two."""
    monkeypatch.setattr(chat_template, "RENDER_SECONDS", 0.5)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("case", HUNGRY)
def test_no_template_takes_all_time_or_memory(case: str, make: Make) -> None:
    template = make(HUNGRY[case])
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    with pytest.raises(TemplateError):
        render(template)
    assert time.perf_counter() - started < 10.0
    assert psutil.Process().memory_info().rss - before < 64 << 20, "the template's text reached this process"


def test_a_text_without_end_is_given_up_long_before_the_time_is_over(make: Make) -> None:
    with pytest.raises(TemplateError, match="makes more than 8388608 characters"):
        render(make(HUNGRY["a gigabyte piece by piece"]))


@pytest.mark.usefixtures("quick")
def test_a_template_that_was_stopped_can_be_used_again(make: Make) -> None:
    template = make("{% for i in range(n) %}{% for j in range(n) %}{% endfor %}{% endfor %}done")
    assert render(template, n=2) == "done"
    with pytest.raises(TemplateError, match="too much time or memory"):
        render(template, n=90_000)
    assert render(template, n=2) == "done"


def test_the_child_process_ends_with_the_template() -> None:
    def children() -> set[int]:
        return {child.pid for child in psutil.Process().children()}

    before = children()
    closed, forgotten = JinjaTemplate("a", {}), JinjaTemplate("b", {})
    assert len(children() - before) == 2
    closed.close()
    closed.close()
    del forgotten
    gc.collect()
    assert children() <= before


def test_the_child_process_ends_when_the_parent_is_killed() -> None:
    program = (
        "import os, psutil, signal; from engine.chat_template import JinjaTemplate; template = JinjaTemplate('a', {})\n"
        "print(psutil.Process().children()[0].pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(chat_template.__file__).parents[1]
    parent = subprocess.run([sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, timeout=60, check=False)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(parent.stdout)).wait(timeout=30)


def test_threads_may_share_a_template(make: Make) -> None:
    template = make("{{ messages[0].content }}")

    def render_own(number: int) -> str:
        return template.render({"messages": [{"content": f"{number}" * 1000}]}, add_generation_prompt=True)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(render_own, range(200))) == [f"{number}" * 1000 for number in range(200)]


def test_a_child_that_was_killed_is_replaced(make: Make) -> None:
    before = set(psutil.Process().children())
    template = make("fine")
    assert render(template) == "fine"
    (child,) = set(psutil.Process().children()) - before
    child.kill()
    child.wait()
    assert render(template) == "fine"


def test_a_child_that_cannot_be_started_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(TemplateError, match="cannot be started: No such file"):
        JinjaTemplate("fine", {})


def test_no_secret_of_the_environment_reaches_the_child(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    before = set(psutil.Process().children())
    assert render(make("fine")) == "fine"
    (child,) = set(psutil.Process().children()) - before
    assert "API_KEY" not in child.environ()
    assert child.environ()["PATH"] == os.environ["PATH"]


# The form for models without a template


def test_the_plain_form_is_the_system_prompt_and_the_turns() -> None:
    messages = [
        {"role": "system", "content": "You are helpful."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": " Hello! "},
        {"role": "user", "content": "What is Python?"},
    ]
    text = PlainTemplate().render({"messages": messages}, add_generation_prompt=True)
    assert text == "You are helpful.\n\nUser: Hi\nAssistant: Hello!\nUser: What is Python?\nAssistant:"
    assert PlainTemplate().render({"messages": HELLO}, add_generation_prompt=False) == "User: Hello"


def test_the_plain_form_ends_where_the_model_would_speak_for_the_person() -> None:
    assert PlainTemplate().stop == ("\nUser:", "User:", "\n\n\n")
    assert JinjaTemplate.stop == ()
