"""`backlight pipeline` and `backlight cache`, and pipelines from files and sweeps in `backlight analyze`."""

from click.testing import CliRunner

from backlight.app.cli import main
from backlight.core.project import open_project
from synthetic_run import write_run


def ran(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_show_prints_steps_and_files_that_analyze_takes(tmp_path):
    shown = ran("pipeline", "show", "spray", "--set", "knn.k=9")
    assert shown.exit_code == 0 and "k=9" in shown.output
    (tmp_path / "mine.toml").write_text(ran("pipeline", "show", "spray", "--toml").output, encoding="utf-8")
    assert ran("pipeline", "show", tmp_path / "mine.toml").output == ran("pipeline", "show", "spray").output
    assert ran("pipeline", "show", "spary").exit_code == 2


def test_a_sweep_is_analysed_and_the_cache_told_and_cleared(tmp_path):
    write_run(tmp_path / "run")
    text = ran("pipeline", "show", "spray", "--toml").output.replace('"spray"', '"mine"', 1)
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    sweep = ("--sweep", "kmeans.k=2,3", "--class", "cat", "--workers", 1, "--set", "tsne.iterations=250")
    done = ran("analyze", tmp_path / "run", "--pipeline", tmp_path / "mine.toml", *sweep)
    assert done.exit_code == 0, done.output
    with open_project(tmp_path / "run") as project:
        category = project.analysis("mine").category("cat")
        assert {"kmeans-k=2", "kmeans-k=3"} <= set(category.clusterings)
        assert len(set(category.clusters("kmeans-k=3"))) == 3
    assert "MiB in" in ran("cache", "info", tmp_path / "run").output
    assert not ran("cache", "info", tmp_path / "run").output.startswith("0 results")
    assert "removed" in ran("cache", "clear", tmp_path / "run", "--keep", 0.01).output
    ran("cache", "clear", tmp_path / "run")
    assert ran("cache", "info", tmp_path / "run").output.startswith("0 results")
    assert ran("cache", "info", tmp_path).exit_code == 2


def test_show_draws_a_picture(tmp_path):
    shown = ran("pipeline", "show", "spray", "--out", tmp_path / "spray.svg")
    assert shown.exit_code == 0
    assert (tmp_path / "spray.svg").read_text(encoding="utf-8").startswith("<svg")
    assert ran("pipeline", "show", "spray", "--out", tmp_path / "spray.png").exit_code == 2
    assert not (tmp_path / "spray.png").exists()
