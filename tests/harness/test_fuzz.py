"""Malformed command lines and study files: each is answered by one sentence and exit code 2."""

import random

import pytest
from malformed import BOMB, STUDY, command_lines, studies


def fault(done):
    """Say what is wrong with the answer to a mistake; nothing if it is a sentence and exit code 2."""
    before, _, sentence = done.stderr.partition("Error: ")
    good = done.returncode == 2 and before[:6] in ("", "Usage:") and len(sentence) > 10
    good = good and "Error: " not in sentence and "Traceback" not in done.stderr and "\n\n" not in sentence
    return "" if good else f"exit code {done.returncode}: {done.stdout[-200:]} {done.stderr[-400:]}"


def faults(call, command_lines):
    """Return the command lines that are not answered as they should, with what happened."""
    found = {}
    for words in command_lines:
        try:
            answer = fault(call(*words))
        except Exception as error:
            answer = repr(error)
        if answer:
            found[" ".join(word[:60] for word in words)] = answer
    return found


@pytest.fixture
def place(tmp_path, plugins):
    """Fill the folder in which the commands run."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("text")
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    (tmp_path / "toy.py").write_text((plugins / "toy.py").read_text())
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path


def test_200_malformed_command_lines_are_answered_with_a_sentence(inside, place):
    assert faults(inside, random.Random(8).sample(command_lines(), 200)) == {}


@pytest.mark.slow
def test_every_malformed_command_line_is_answered_with_a_sentence(inside, place):
    assert faults(inside, command_lines()) == {}


def test_processes_answer_as_the_function_does(cabench, place):
    assert faults(cabench, random.Random(3).sample(command_lines(), 3)) == {}


def test_malformed_studies_are_answered_with_a_sentence(inside, place):
    for name, text in studies().items():
        (place / "wrong.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        assert faults(inside, [["run", "--dry-run", "--study", "wrong.yaml"]]) == {}, name


def test_a_study_of_aliases_is_refused_before_it_grows(inside, place):
    (place / "bomb.yaml").write_text(BOMB)
    assert "repeats a value with *; write it out" in inside("run", "--dry-run", "--study", "bomb.yaml").stderr
