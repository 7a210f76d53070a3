"""Whether a worker computes as the coordinator does: the same versions, and the same kernels."""

import platform

from rust_tuner.errors import SearchError
from rust_tuner.models.runtime import onednn_enabled, versions
from rust_tuner.onednn import ONEDNN_VARIABLE, can_switch_onednn
from rust_tuner.records.run import RunManifest


def require_same_numbers(run: RunManifest) -> str | None:
    """Refuse to train with other packages or kernels than those that the search was begun with.

    Args:
        run: the search's manifest.

    Returns:
        A note where kernels differ that cannot be chosen on this machine.

    Raises:
        SearchError: naming this machine, and both versions of each package that differs.
    """
    here = platform.node()
    different = [
        f"{name} {version} (the search: {run.versions[name]})"
        for name, version in versions().items()
        if name in run.versions and run.versions[name] != version
    ]
    if different:
        raise SearchError(
            f"the worker on {here} has {', '.join(different)}; install the versions of the search "
            "there, so that its scores do not depend on where a trial runs"
        )
    onednn = onednn_enabled()
    if None in (run.onednn, onednn) or run.onednn == onednn:
        return None
    with_or_without = "with" if onednn else "without"
    if can_switch_onednn():
        raise SearchError(
            f"the worker on {here} computes {with_or_without} TensorFlow's oneDNN, other than the "
            f"search; set the environment variable {ONEDNN_VARIABLE}={int(bool(run.onednn))} where "
            "workers are started"
        )
    return (
        f"note: the worker on {here} computes {with_or_without} TensorFlow's oneDNN, other than "
        "the search, which cannot be chosen on that machine; its scores agree within 1e-3"
    )
