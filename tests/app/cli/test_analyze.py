"""`backlight analyze` as people run it: output, exit codes, settings, plain progress, a quick start."""

import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from backlight.app.cli import main
from backlight.core.project import open_project
from synthetic_run import CLASSES, MARKED_CLASS, write_run

QUICK = ("--set", "tsne.iterations=250", "--set", "neighbours=8", "--set", "eigenvalues=8")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("cli") / "run").parent


def invoke(*arguments):
    return CliRunner().invoke(main, ["analyze", *map(str, arguments)])


def test_ends_with_the_ranking(run):
    result = invoke(run, *QUICK)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert "Classes by suspicion (spray)" in result.stdout
    first = next(line for line in lines if line.startswith("│ 1 "))
    assert CLASSES[MARKED_CLASS] in first
    assert lines[-1] == f"Results: {run / 'analysis.h5'}"
    for number, name in enumerate(CLASSES, start=1):
        assert f"Analysing {number}/3: {name}" in result.stderr


def test_names_are_printed_as_they_are(run):
    """Class names are data: square brackets and angle brackets in them are no markup."""
    assert CLASSES[2] in invoke(run, *QUICK).stdout


def test_one_class_and_settings_arrive(run):
    result = invoke(
        run, *QUICK, "--class", "dog", "--set", "kmeans.k=3", "--seed", "5", "--no-cache", "--workers", "1"
    )
    assert result.exit_code == 0, result.output
    with open_project(run) as project:
        category = project.analysis("spray").category("dog")
        assert category.clustering_attributes("kmeans")["k"] == 3
    assert CLASSES[0] not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--class", "dgo"], "unknown class 'dgo'; did you mean 'dog'?"),
        (["--pipeline", "sprey"], "unknown processor 'sprey'; did you mean 'spray'"),
        (["--set", "kn.k=3"], "unknown step 'kn'; did you mean 'knn'"),
        (["--set", "knn.kk=3"], "step 'knn' has unknown parameter 'kk'"),
        (["--set", "knn.k=many"], "step 'knn': k is 'many', expected int"),
        (["--set", "knn.k=0"], "knn: k is 0, expected at least 1"),
        (["--set", "neighbour=3"], "unknown parameter 'neighbour'; did you mean 'neighbours'"),
        (["--set", "knn.k"], "'knn.k' is not of the form STEP.PARAM=VALUE"),
        (["--set", "knn.k=[1"], "'[1' is not a value"),
        (["--by", "colour"], "'colour' is not one of"),
        (["--workers", "0"], "0 is not in the range"),
    ],
)
def test_wrong_requests_are_one_sentence_and_exit_code_2(run, arguments, message):
    before = {path: path.stat().st_mtime_ns for path in run.iterdir() if path.is_file()}
    result = invoke(run, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert {path: path.stat().st_mtime_ns for path in run.iterdir() if path.is_file()} == before


def test_sigterm_ends_it_as_ctrl_c_does_and_the_same_command_continues(run, tmp_path, monkeypatch):
    code = """
        import os, signal
        def told(relevance):
            if not os.path.exists("told"):
                open("told", "w").close()
                os.kill(os.getpid(), signal.SIGTERM)
            return relevance
    """
    (tmp_path / "told_to_stop.py").write_text(textwrap.dedent(code))
    steps = ("flatten", "knn", "told_to_stop:told", "pool")
    (tmp_path / "mine.toml").write_text(
        "".join(f'[[steps]]\nname="{s[:4]}"\nprocessor="{s}"\n' for s in steps)
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in run.iterdir() if path.suffix)
    options = (run, "--pipeline", "mine.toml", "--class", "dog", "--workers", "1")
    stopped = invoke(*options)
    assert stopped.exit_code == 130, stopped.output
    assert "the same command continues.\nInterrupted.\n" in stopped.stderr
    assert sorted(path.name for path in run.iterdir() if path.suffix) == before
    assert "2 of 4 steps were computed" in invoke(*options).stdout


def test_a_class_that_fails_is_named_after_the_results_of_the_others(tmp_path):
    root = write_run(tmp_path / "run").parent
    with h5py.File(root / "attribution.h5", "a") as file:
        dog = np.flatnonzero(file["label"][:] == CLASSES.index("dog"))[3]
        file["attribution"][dog] = 0
    steps = [("flatten", ""), ("metric-knn", 'parameters = { metric = "cosine" }'), ("knn-affinity", "")]
    (tmp_path / "mine.toml").write_text(
        "".join(f'[[steps]]\nname="{step}"\nprocessor="{step}"\n{more}\n' for step, more in steps)
    )
    result = invoke(root, "--pipeline", tmp_path / "mine.toml")
    assert result.exit_code == 1
    assert f"Results: {root / 'analysis-mine.h5'}" in result.stdout
    assert "the cache" not in result.stdout
    assert "Error: not analysed: class 'dog': a distance is not finite" in result.stderr
    with open_project(root) as project:
        assert len(project.analysis("mine").categories) == len(CLASSES) - 1


def test_no_run_there(tmp_path):
    result = invoke(tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "is no run directory or project file" in result.stderr


def test_help_loads_no_numeric_library():
    code = """
import sys
import textwrap
from click.testing import CliRunner
from backlight.app.cli import main
result = CliRunner().invoke(main, ["analyze", "--help"])
assert result.exit_code == 0, result.output
print([m for m in ("numpy", "sklearn", "scipy", "torch", "h5py", "dash", "rich") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
