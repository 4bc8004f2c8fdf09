"""The command's frame: lazy verbs, global options, and one sentence for every failure."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from backlight.app.cli import VERBS, main
from backlight.app.cli.group import LazyGroup
from backlight.core.errors import BacklightError, FormatError
from backlight.core.registry import BLOCK_VARIABLE, registry

DISTS = Path(__file__).parents[2] / "dists"

VERB = """
import click
from backlight.core.errors import FormatError

@click.command()
@click.option("--count", type=int)
@click.option("--colour", type=click.Choice(["crimson", "magenta"]))
def command(count, colour):
    "Do one thing."
    {body}
"""
BODIES = {
    "fine": "click.echo('done')",
    "format": "raise FormatError('x.h5 has no \\'attribution\\';\\n  it holds nothing')",
    "bug": "raise ZeroDivisionError('division by zero')",
    "silent": "raise AssertionError",
    "os-error": "raise FileNotFoundError(2, 'No such file or directory', 'x.txt')",
    "interrupt": "raise KeyboardInterrupt",
    "abort": "raise click.Abort",
    "leave": "click.get_current_context().exit(7)",
    "refuse": "raise click.ClickException('no')",
    "fail": "raise click.UsageError('one of --count and --colour is needed')",
}


@pytest.fixture
def group(tmp_path, monkeypatch):
    """A group like `main`, over verbs that fail in every way."""
    package = tmp_path / "bl_verbs"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, body in BODIES.items():
        (package / f"{name}.py").write_text(VERB.format(body=body))
    (package / "needs.py").write_text("import a_library_that_is_not_installed")
    (package / "broken.py").write_text("raise RuntimeError('cannot start')")
    (package / "nested.py").write_text(
        "import click\n\n@click.group()\ndef command():\n    'Hold others.'\n\n"
        "@command.command()\ndef inner():\n    'Fail.'\n    raise ValueError('deep')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    verbs = dict.fromkeys((*BODIES, "needs", "broken", "nested", "gone"), "One line.")
    yield LazyGroup("bl", verbs=verbs, package="bl_verbs", params=list(main.params[2:3]))
    for name in [n for n in sys.modules if n.startswith("bl_verbs")]:
        del sys.modules[name]


def run(group, *arguments):
    result = CliRunner().invoke(group, arguments, prog_name="bl")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_verb_that_works(group):
    result = run(group, "fine")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "done\n", "")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["format"], 2, "Error: x.h5 has no 'attribution'; it holds nothing\n"),
        (
            ["bug"],
            1,
            "Error: unexpected ZeroDivisionError: division by zero (re-run with --debug for the traceback)\n",
        ),
        (["silent"], 1, "Error: unexpected AssertionError (re-run with --debug for the traceback)\n"),
        (
            ["os-error"],
            1,
            "Error: cannot read or write x.txt: No such file or directory\n",
        ),
        (["interrupt"], 130, "Interrupted.\n"),
        (["abort"], 130, "Interrupted.\n"),
        (["leave"], 7, ""),
        (["refuse"], 1, "Error: no\n"),
        (["fail"], 2, "Error: one of --count and --colour is needed (see `bl fail --help`)\n"),
        (["nested", "inner"], 1, "Error: unexpected ValueError: deep (re-run"),
        (
            ["needs"],
            1,
            "Error: `backlight needs` needs the module 'a_library_that_is_not_installed', which is not",
        ),
        (["broken"], 1, "Error: unexpected RuntimeError: cannot start (re-run"),
        (
            ["gone"],
            1,
            "Error: `backlight gone` is missing from this installation (no module 'bl_verbs.gone')\n",
        ),
        (["fin"], 2, "Error: unknown command 'fin'; did you mean 'fine'"),
        (["zzz"], 2, "Error: unknown command 'zzz'; known: abort, broken, bug"),
        (
            ["--debgu", "fine"],
            2,
            "Error: No such option '--debgu'. Did you mean '--debug'? (see `bl --help`)\n",
        ),
        (
            ["fine", "--colors"],
            2,
            "Error: No such option '--colors'. Did you mean '--colour'? (see `bl fine --help`)",
        ),
        (["fine", "--count", "x"], 2, "Error: Invalid value for '--count': 'x' is not a valid integer. (see"),
        (
            ["fine", "--colour", "crimsn"],
            2,
            "Error: Invalid value for '--colour': 'crimsn' is not one of 'crimson'",
        ),
        (["fine", "--colour", "crimsn"], 2, "Did you mean 'crimson'?"),
        (["fine", "--count"], 2, "Error: Option '--count' requires an argument."),
        (["fine", "more"], 2, "Error: Got unexpected extra argument (more) (see `bl fine --help`)\n"),
    ],
)
def test_every_failure_is_one_sentence_and_one_exit_code(group, arguments, code, sentence):
    result = run(group, *arguments)
    assert result.exit_code == code
    assert sentence in result.stderr if sentence else result.stderr == ""
    assert result.stderr.count("\n") <= 1
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments", [["--debug", "bug"], ["bug", "--debug"], ["nested", "inner", "--debug"]]
)
def test_debug_shows_the_traceback_before_or_after_the_verb(group, arguments):
    result = run(group, *arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("Traceback (most recent call last)")
    assert re.search(r"\nError: unexpected (ZeroDivision|Value)Error: .*\n$", result.stderr)


def test_debug_shows_what_lies_behind_a_worded_failure_but_not_behind_a_typing_mistake(group):
    assert "FormatError" in run(group, "format", "--debug").stderr
    assert run(group, "fine", "--colors", "--debug").stderr.count("\n") == 1


def test_debug_after_the_verb_is_not_listed_twice(group):
    for _ in range(2):
        assert run(group, "fine", "--debug").exit_code == 0
    assert "--debug" not in run(group, "fine", "--help").stdout


def test_exit_codes_follow_the_error():
    assert BacklightError.exit_code == 1
    assert FormatError.exit_code == 2


def test_help_lists_every_verb_on_one_line_without_importing_it():
    result = run(main, "--help")
    for verb, line in VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(line)}$", result.stdout, re.MULTILINE)
    assert result.exit_code == 0
    assert run(main, "-h").stdout == result.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_command_of_its_name_with_help(verb):
    command = main.get_command(click.Context(main), verb)
    assert command.help
    assert run(main, verb, "--help").exit_code == 0
    for option in command.params:
        assert getattr(option, "help", None) or getattr(option, "hidden", True), option


def test_without_arguments_the_help_is_shown():
    result = run(main)
    assert "Usage:" in result.output
    assert "plugins" in result.output


def test_block_holds_for_one_run(install):
    install("good")
    assert "blocked" in run(main, "--block", "note", "plugins", "--kind", "panel").stdout
    assert "blocked" not in run(main, "plugins", "--kind", "panel").stdout
    assert BLOCK_VARIABLE not in os.environ
    allowed = run(main, "--allow", "backlight-good/note", "plugins").stdout
    assert re.search(r"centre .* blocked ", allowed)
    assert re.search(r"note .* available ", allowed)
    assert "kmeans" in registry().names("processor")


# --- real processes


def process(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "backlight", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_the_console_script_is_this_command():
    script = Path(sys.executable).with_name("backlight")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"backlight \d+\.\d+\.\d+\n", done.stdout)
    assert process("--version").stdout == done.stdout


def test_a_broken_distribution_breaks_neither_help_nor_listing():
    path = os.pathsep.join(str(DISTS / name) for name in ("broken_import", "malformed", "misspelt_hook"))
    for arguments in (["--help"], ["plugins"], ["plugins", "--json"]):
        done = process(*arguments, PYTHONPATH=path)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (
            ["plugns"],
            2,
            "Error: unknown command 'plugns'; did you mean 'plugins'? (see `backlight --help`)\n",
        ),
        (
            ["plugins", "check", "no-such-plugin-anywhere"],
            2,
            "Error: unknown plugin 'no-such-plugin-anywhere'",
        ),
        (["plugins", "check", "raises"], 1, "Error: processor 'raises' of backlight-broken 0.3.0"),
        (["--block", "raises", "plugins", "check", "raises"], 2, "is blocked by --block"),
    ],
)
def test_real_exit_codes(arguments, code, sentence):
    done = process(*arguments, PYTHONPATH=str(DISTS / "broken_import"))
    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error():
    with subprocess.Popen(
        [sys.executable, "-m", "backlight", "plugins"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as writer:
        writer.stdout.close()
        assert writer.stderr.read() == b""


def test_ctrl_c_ends_a_real_run_cleanly():
    with subprocess.Popen(
        [sys.executable, "-m", "backlight", "plugins", "check", "slow"],
        env={**os.environ, "PYTHONPATH": str(DISTS / "slow_import"), "BL_SLOW_SECONDS": "60"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stderr.readline() == "importing\n"
        time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        output, errors = child.communicate(timeout=30)
        assert (child.returncode, output, errors) == (130, "", "Interrupted.\n")
