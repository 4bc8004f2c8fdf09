"""Attribution of a dataset into a run directory: shards that appear whole, a run that resumes.

run.json                    what the run is: model, weights, data, composite; a resumed run must agree
run.toml                    the request as one file, from which the same command can be given again
data/shard-00000.h5         inputs as pictures, labels, origins
attribution/shard-00000.h5  relevance, predictions, labels, dataset indices
records/shard-00000.json    size and checksum of both; its presence means the shard is done
data.h5, attribution.h5     one virtual dataset over all shards, written when the last is done
labels.json, project.yaml   the project, which ViRelAy opens too
"""

from backlight.core.run.attributing import Progress, attribute_dataset
from backlight.core.run.finishing import Finished
from backlight.core.run.layout import CONFIG_FILE, RUN_FILE
from backlight.core.run.settings import Output, Settings
from backlight.core.run.verification import Problem, verify

__all__ = [
    "CONFIG_FILE",
    "RUN_FILE",
    "Finished",
    "Output",
    "Problem",
    "Progress",
    "Settings",
    "attribute_dataset",
    "verify",
]
