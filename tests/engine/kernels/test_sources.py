"""What is compiled how, and the digest that changes with it."""

from __future__ import annotations

import pytest

from engine.errors import KernelsUnavailable
from engine.kernels import sources
from tests.engine.kernels.conftest import Workshop


@pytest.mark.parametrize(("kind", "sets"), [("x86_64", 3), ("aarch64", 1), ("riscv64", 1)])
def test_a_source_is_compiled_for_each_set_that_the_processors_of_its_kind_may_have(
    workshop: Workshop, kind: str, sets: int
) -> None:
    units = sources.units(workshop.source, kind)
    assert len(units) == sets + 1
    assert len({unit.name for unit in units}) == sets + 1
    assert units[0].flags == ()
    assert "-DISA=portable" in units[1].flags


def test_nothing_depends_on_the_machine_that_compiles() -> None:
    flags = [*sources.COMMON, *(flag for sets in sources.SETS.values() for flags in sets.values() for flag in flags)]
    assert not {"-march=native", "-mtune=native", "-ffast-math", "-Ofast"} & set(flags)


@pytest.mark.parametrize(
    ("name", "text"), [("answer.h", "#define ANSWER 43\n"), ("new.h", ""), ("more.cpp", "// isa: any\n")]
)
def test_every_change_of_a_source_changes_the_digest(workshop: Workshop, name: str, text: str) -> None:
    before = sources.digest(workshop.source)
    assert sources.digest(workshop.source) == before
    workshop.write(name, text)
    assert sources.digest(workshop.source) != before


def test_flags_and_kinds_of_processors_change_the_digest(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {sources.digest(workshop.source, kind) for kind in ("x86_64", "aarch64")}
    monkeypatch.setattr(sources, "COMMON", (*sources.COMMON, "-O2"))
    assert len(digests | {sources.digest(workshop.source, "x86_64")}) == 3


def test_one_kind_of_processor_has_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for name in ("x86_64", "AMD64", "arm64", "aarch64"):
        monkeypatch.setattr("platform.machine", lambda name=name: name)
        names.append(sources.machine())
    assert names == ["x86_64", "x86_64", "aarch64", "aarch64"]


def test_without_sources_there_are_no_kernels(workshop: Workshop) -> None:
    for file in workshop.source.iterdir():
        file.unlink()
    with pytest.raises(KernelsUnavailable, match="no sources"):
        sources.digest(workshop.source)
    assert workshop.find() is None


def test_a_source_says_what_it_is_for(workshop: Workshop) -> None:
    workshop.write("strange.cpp", "int a;\n")
    with pytest.raises(AssertionError, match=r"first line of strange\.cpp"):
        sources.units(workshop.source)
