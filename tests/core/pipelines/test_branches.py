"""Which steps of a pipeline are worth running side by side, and in what order."""

from backlight.core.pipeline import pipeline
from backlight.core.pipelines.branches import copies, waves
from backlight.core.pipelines.pipeline_file import sweep


def test_a_chain_has_no_groups():
    assert waves(pipeline("spray", until="kmeans")) == []


def test_what_all_branches_need_comes_first_and_scores_are_no_tasks():
    assert waves(pipeline("spray")) == [("spectral",), ("tsne", "strategies", "kmeans", "hdbscan")]


def test_every_value_of_a_sweep_is_a_branch():
    swept = sweep(pipeline("spray", until="kmeans"), "knn.k", (8, 16))
    assert waves(swept) == [
        ("knn-k=8", "knn-k=16"),
        ("spectral-k=8", "spectral-k=16"),
        ("kmeans-k=8", "kmeans-k=16"),
    ]


def test_copies_are_steps_of_one_processor_in_one_group():
    one = pipeline("spray")
    assert copies(one, waves(one)) == 1
    assert copies(one, []) == 1
    three = sweep(one, "tsne.perplexity", (10.0, 30.0, 50.0))
    assert copies(three, waves(three)) == 3


def test_groups_wait_for_all_that_they_read():
    swept = sweep(pipeline("spray"), "spectral.m", (8, 16))
    done: set[str] = set()
    for group in waves(swept):
        for name in group:
            needed = {step.name for step in swept.until(name).steps} - {name}
            heavy = {s for s in needed if swept.step(s).processor.stage in ("neighbours", "embedding")}
            assert not heavy & set(group)
            assert heavy <= done or group == waves(swept)[0]
        done |= {s.name for name in group for s in swept.until(name).steps}
