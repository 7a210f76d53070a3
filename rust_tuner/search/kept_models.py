"""The models of the best trial's folds, in files of its folder.

    trial_0003/models/fold_0.keras   as it was at the epoch of the score
    trial_0003/models/models.json    written last: which files are whole

They are replaced when another trial becomes the best.
"""

import functools
import shutil
from collections.abc import Sequence
from pathlib import Path

import keras
from keras_tuner.engine.trial import Trial

from rust_tuner.errors import SearchError
from rust_tuner.files import atomic_path, sha256_of_file
from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.models.fold_state import build_optimizer
from rust_tuner.models.keras_state import users_layers_kept
from rust_tuner.models.model_to_keep import ModelToKeep
from rust_tuner.records.kept_models import MODELS_FOLDER, model_file, models_folder, write_kept
from rust_tuner.records.project import trial_folders
from rust_tuner.search.run_state import Run


def write_models(folder: Path, trial_id: str, epoch: int, models: Sequence[keras.Model]) -> None:
    """Keep the models of a trial's folds, and delete those of all others.

    Args:
        folder: the project folder.
        trial_id: of the trial.
        epoch: that the models are of, from 0.
        models: one a fold.
    """
    kept = models_folder(folder, trial_id)
    kept.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for fold, model in enumerate(models):
        path = kept / model_file(fold)
        with atomic_path(path) as temporary:
            model.save(temporary)
        hashes[path.name] = sha256_of_file(path)
    write_kept(kept, epoch=epoch, hashes=hashes)
    for other in trial_folders(folder):
        if other / MODELS_FOLDER != kept:
            shutil.rmtree(other / MODELS_FOLDER, ignore_errors=True)


@users_layers_kept()
def read_models(files: Sequence[Path], run: Run | None, trial: Trial) -> list[keras.Model]:
    """Models from their files, in Keras's safe mode.

    Args:
        files: one a fold.
        run: what `search` passed to its trials, whose code builds the models; None where no search
            was run in this process, so that Keras has to know their classes.
        trial: the trial.

    Raises:
        SearchError: where Keras cannot load a model without its code, or a layer that was made
            outside `build` is part of all models, and these cannot be copied.
    """
    models = []
    for fold, path in enumerate(files):
        if run is not None:
            subject = run.subject
            given = () if subject.preparation is None else (subject.data_of(fold).inputs,)
            hp = trial.hyperparameters.copy()
            kept = ModelToKeep.build(
                FoldPlace(run.seed, int(trial.trial_id), fold),
                functools.partial(subject.build, hp, None, *given),
            )
            # Otherwise it would have no variables to load its state into.
            build_optimizer(kept.model)
            kept.model.load_weights(path)
            model = kept.result()
        else:
            try:
                model = keras.models.load_model(path, compile=False)
            except Exception as error:
                # Keras raises whatever its layers, ZIP or HDF5 raise.
                raise SearchError(
                    f"{path} cannot be loaded without the code of the model "
                    f"({type(error).__name__}); call search first, with the same arguments: a "
                    "finished search trains nothing"
                ) from error
        models.append(model)
    return models
