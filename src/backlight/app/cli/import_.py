"""`backlight import`: make a run of relevance that another tool computed."""

from __future__ import annotations

from pathlib import Path

import click

_FILE = click.Path(path_type=Path)


@click.command("import")
@click.argument("relevance", type=_FILE)
@click.option("--out", "-o", required=True, type=_FILE, help="The run directory.")
@click.option("--inputs", type=_FILE, help="File of the inputs, where RELEVANCE does not hold them.")
@click.option("--labels", type=_FILE, help="File of the class indices, where no other file holds them.")
@click.option("--label-map", type=_FILE, help="JSON file with the names of the classes.")
@click.option("--name", help="Name of the project; default: the run directory's.")
@click.option("--model", default="imported", show_default=True, help="What to record as the model.")
@click.option("--method", default="imported", show_default=True, help="What to record as the method.")
@click.option(
    "--target",
    type=click.Choice(["true", "predicted"]),
    default="true",
    show_default=True,
    help="Which class was explained.",
)
def command(
    relevance: Path,
    out: Path,
    inputs: Path | None,
    labels: Path | None,
    label_map: Path | None,
    name: str | None,
    model: str,
    method: str,
    target: str,
) -> None:
    """Make a run of RELEVANCE: HDF5 in ViRelAy's layout, .npy, .npz, or tensors in .pt.

    Inputs, labels, predictions and dataset indices are found in the same file by their names, or given.
    """
    from backlight.app.cli.attribute import print_finished
    from backlight.core.interchange.importing import import_run

    print_finished(
        import_run(
            out,
            relevance,
            inputs=inputs,
            labels=labels,
            label_map=label_map,
            name=name,
            model=model,
            method=method,
            target=target,
        )
    )
