"""A project reads from its own folder and the folders it was opened with, whatever its files point to."""

import h5py
import numpy as np
import pytest
import yaml

from backlight.core.errors import FormatError
from backlight.core.project import ANALYSIS_FILE, DATA_FILE, PROJECT_FILE, open_project
from backlight.core.projects.confine import Roots
from synthetic_run import write_run


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run").parent


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros((180, 3, 4, 4), np.uint8)
        file["00000000/index"] = np.arange(4)
    return path


def rewrite(run, change):
    document = yaml.safe_load((run / PROJECT_FILE).read_text())
    change(document["project"])
    (run / PROJECT_FILE).write_text(yaml.safe_dump(document))


@pytest.mark.parametrize("form", ["../secret.h5", "{}", "sub/../../secret.h5", "link.h5", "folder/secret.h5"])
def test_paths_that_lead_out_are_refused(run, secret, form):
    (run / "link.h5").symlink_to(secret)
    (run / "folder").symlink_to(secret.parent, target_is_directory=True)
    rewrite(run, lambda project: project["dataset"].update(path=form.format(secret)))
    with pytest.raises(FormatError, match=r"dataset.path: .* leads out of .*--root"):
        open_project(run)


@pytest.mark.parametrize("key", ["label_map", "attributions", "analyses"])
def test_every_path_of_a_project_is_checked(run, secret, key):
    def change(project):
        if key == "label_map":
            project[key] = "/etc/passwd"
        elif key == "attributions":
            project[key]["sources"] = ["../secret.h5"]
        else:
            project[key][0]["sources"] = ["../secret.h5"]

    rewrite(run, change)
    with pytest.raises(FormatError, match="leads out of"):
        open_project(run)


@pytest.mark.parametrize("value", [7, None, "", "a\0b", ["x"], {"y": 1}])
def test_what_is_no_path_is_refused(run, value):
    rewrite(run, lambda project: project["attributions"].update(sources=[value]))
    with pytest.raises(FormatError):
        open_project(run)


def test_a_folder_can_be_allowed(run, secret):
    rewrite(run, lambda project: project["dataset"].update(path="../secret.h5"))
    with open_project(run, roots=[secret.parent]) as project:
        assert project.dataset.image(0).shape == (4, 4, 3)


def external_link(file, secret):
    del file["data"]
    file["data"] = h5py.ExternalLink(str(secret), "data")


def relative_link(file, secret):
    del file["data"]
    file["data"] = h5py.ExternalLink("../secret.h5", "data")


def nested_link(file, secret):
    file["deep/er"] = h5py.ExternalLink("../secret.h5", "data")


def virtual_dataset(file, secret):
    del file["data"]
    layout = h5py.VirtualLayout((180, 3, 4, 4), np.uint8)
    layout[:] = h5py.VirtualSource(str(secret), "data", (180, 3, 4, 4))
    file.create_virtual_dataset("data", layout)


def raw_storage(file, secret):
    del file["data"]
    file.create_dataset("data", (8,), np.uint8, external=[(str(secret), 0, 8)])


def by_way_of_another_file(file, secret):
    with h5py.File(secret.parent / "run" / "between.h5", "w") as between:
        between["data"] = h5py.ExternalLink(str(secret), "data")
    del file["data"]
    file["data"] = h5py.ExternalLink("between.h5", "data")


@pytest.mark.parametrize(
    "attack",
    [external_link, relative_link, nested_link, virtual_dataset, raw_storage, by_way_of_another_file],
)
def test_hdf5_files_that_read_from_outside_are_refused(run, secret, attack):
    with h5py.File(run / DATA_FILE, "r+") as file:
        attack(file, secret)
    with open_project(run) as project, pytest.raises(FormatError, match=r"leads out|refused"):
        project.dataset.image(0)


def test_links_inside_the_folder_are_followed(run):
    with h5py.File(run / DATA_FILE, "r+") as file, h5py.File(run / "more.h5", "w") as more:
        more["pictures"] = file["data"][:]
        del file["data"]
        file["data"] = h5py.ExternalLink("more.h5", "pictures")
        file["soft"] = h5py.SoftLink("/data")
    with open_project(run) as project:
        assert project.dataset.image(3).shape == (16, 16, 3)


def test_links_in_circles_end(run):
    with h5py.File(run / ANALYSIS_FILE, "r+") as file:
        file["loop"] = h5py.SoftLink("/loop")
        file["self"] = h5py.ExternalLink(ANALYSIS_FILE, "/")
        file["round"] = file["/"]
    roots = Roots(run)
    with h5py.File(run / ANALYSIS_FILE) as file:
        roots.check(file)
