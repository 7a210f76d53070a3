"""Searches with any sampler of Optuna, resumed from the records of the trials alone.

Optuna is asked and told; the records of the trials are the only owner of what was tried. How a
sampler is asked belongs to `optuna_study`, and how spaces are translated to `optuna_space`.
"""

import types
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.errors import SearchError
from rust_tuner.extras import require_package
from rust_tuner.files import sha256_of_json
from rust_tuner.models.code_identity import own_code
from rust_tuner.records.trials import PRUNED
from rust_tuner.search.learning_oracle import LearningOracle
from rust_tuner.search.oracles import require_count
from rust_tuner.search.points import Values

if TYPE_CHECKING:
    import optuna

    from rust_tuner.search.optuna_study import Proposals

State = Literal["COMPLETE", "FAIL", "PRUNED", "RUNNING"]

# What a sampler may be given that names parameters or values of a study, which are not those of the
# space; and what it may be given that needs more than a score.
_REFUSED = {
    "_fixed_params": "declare the fixed hyperparameters with hp.Fixed",
    "_x0": "leave x0 out",
    "_source_trials": "leave source_trials out",
    "_constraints_func": "leave constraints_func out, and raise "
    "keras_tuner.errors.FailedTrialError in build for values that are not allowed",
}
_STATES: dict[str, State] = {
    TrialStatus.COMPLETED: "COMPLETE",
    TrialStatus.FAILED: "FAIL",
    PRUNED: "PRUNED",
}
_WITH_TORCH = "GPSampler"
_WITH_CMAES = "CmaEsSampler"


class OptunaOracle(LearningOracle):
    """Optuna's samplers: TPE, CMA-ES, Gaussian processes, quasi-Monte Carlo, NSGA-II, and others.

    Values are values of KerasTuner's space, steps and logarithms included. The seed of the oracle
    takes the place of the sampler's own. Failed trials have Optuna's state `FAIL`. A trial that a
    model asks for hyperparameters that none before it asked for draws these at random.

    Example:
        >>> import keras_tuner, optuna, rust_tuner
        >>> oracle = rust_tuner.OptunaOracle(
        ...     optuna.samplers.TPESampler(), keras_tuner.Objective("val_loss", "min"), 20
        ... )
    """

    def __init__(
        self,
        sampler: "optuna.samplers.BaseSampler",
        objective: keras_tuner.Objective,
        max_trials: int = 10,
        seed: int | None = 0,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        *,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int | None = None,
    ) -> None:
        """Set who proposes, what to optimise and how often to try.

        Args:
            sampler: one of `optuna.samplers`, for one objective. A search is resumed only with the
                same kind of sampler and the same arguments; its `seed` does not matter.
            objective: the metric and its direction.
            max_trials: the largest number of trials.
            seed: an integer from 0; None for one that is drawn once and recorded with the search.
            hyperparameters: declared in advance, if any; they replace those of the same name that
                the model declares.
            allow_new_entries: whether the model may ask for others.
            tune_new_entries: whether others are tuned; if not, they have their defaults.
            max_retries_per_trial: how often a trial runs again that an error fails, other than
                `FailedTrialError`.
            max_consecutive_failed_trials: end the search after so many failures in a row; None for
                no limit.

        Raises:
            ExtraError: where Optuna is not installed.
            SearchError: if this is not a sampler of Optuna, or one with an argument that needs more
                than the records of a search, or for several objectives.
        """
        require_package("optuna", what="OptunaOracle needs", extra="optuna")
        _require_sampler(sampler)
        super().__init__(
            objective=objective,
            max_trials=require_count(max_trials, "max_trials", "a search with Optuna"),
            seed=seed,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self.sampler = sampler
        self._proposals: Proposals | None = None
        names = {kind.__name__ for kind in type(sampler).__mro__}
        needed = {_WITH_TORCH: "torch", _WITH_CMAES: "cmaes"}
        self.packages = ("optuna", *(needed[name] for name in sorted(needed) if name in names))
        self._description = describe_sampler(sampler)

    def describe(self) -> dict[str, Any]:
        """What the proposals follow from, beside the seed."""
        return {"oracle_arguments": {"sampler": self._description}}

    def num_trials(self) -> int:
        """How many trials the search will have; at most as many as a given grid has points."""
        grid = getattr(self.sampler, "_all_grids", None)
        most = super().num_trials()
        return most if grid is None else min(most, len(grid))

    def propose(self, space: Sequence[Any], earlier: Sequence[Trial]) -> Values | None:
        """The values that the sampler gives after some trials."""
        from rust_tuner.search.optuna_study import Earlier, Proposals

        made = self._proposals
        if made is None or (made.seed, made.lag) != (self.drawn_seed, self.lag):
            direction = self.objective.direction
            self._proposals = made = Proposals(
                self.sampler, direction=direction, seed=self.drawn_seed, lag=self.lag
            )
        ended = [
            Earlier(
                known=len(self.known_after(earlier[:number])),
                values=dict(trial.hyperparameters.values),
                state=_STATES.get(trial.status, "RUNNING"),
                score=trial.score if trial.status == TrialStatus.COMPLETED else None,
            )
            for number, trial in enumerate(earlier)
        ]
        return made.next(space, ended)


def describe_sampler(part: Any) -> Any:
    """A sampler as JSON: its kind and arguments, without random states.

    Functions and classes that are not Optuna's are described by their code.
    """
    return _described(part, set())


def _require_sampler(sampler: Any) -> None:
    from optuna.samplers import BaseSampler

    if not isinstance(sampler, BaseSampler):
        raise SearchError(
            f"sampler={sampler!r}; expected a sampler of Optuna, such as "
            "optuna.samplers.TPESampler()"
        )
    for name, cure in _REFUSED.items():
        if getattr(sampler, name, None) is not None:
            raise SearchError(
                f"{type(sampler).__name__} was given {name.removeprefix('_')}, which cannot be "
                f"used here; {cure}"
            )


def _described(part: Any, seen: set[int]) -> Any:
    from optuna.samplers._lazy_random_state import LazyRandomState

    if part is None or isinstance(part, (str, bool, int, float)):
        return repr(part) if isinstance(part, float) else part
    if isinstance(part, (list, tuple)):
        return [_described(item, seen) for item in part]
    if isinstance(part, (dict, types.MappingProxyType)):
        return {
            str(key): _described(item, seen)
            for key, item in part.items()
            # Only used with a seed of the user's, whose place the oracle's takes.
            if key != "_seed"
        }
    if isinstance(part, np.ndarray):
        return part.tolist()
    if isinstance(part, (types.FunctionType, types.MethodType)):
        return _code(part)
    if isinstance(part, (LazyRandomState, np.random.RandomState, np.random.Generator)):
        return None
    kind = part if isinstance(part, type) else type(part)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if id(part) in seen or isinstance(part, type) or not hasattr(part, "__dict__"):
        return name
    seen.add(id(part))
    described = {"class": name, **_described(vars(part), seen)}
    classes = [owner for owner in kind.__mro__ if not _is_of_optuna(owner) and owner is not object]
    if classes:
        described["code"] = sha256_of_json([_code(f) for o in classes for f in _functions(o)])
    return described


def _functions(owner: type) -> list[types.FunctionType]:
    members = sorted(vars(owner).items())
    return [member for _, member in members if isinstance(member, types.FunctionType)]


def _code(function: Any) -> Any:
    name = f"{function.__module__}.{function.__qualname__}"
    return name if _is_of_optuna(function) else {"name": name, **own_code(function)}


def _is_of_optuna(part: Any) -> bool:
    return str(getattr(part, "__module__", "")).partition(".")[0] in ("optuna", "abc", "builtins")
