"""A SLURM of Debian's packages on this machine alone: one node, whose daemons the tests start."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_for

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_CONFIGURATION = """\
ClusterName=tests
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/none
CredType=cred/none
# A job that is requeued waits as long as a credential lasts, which is at least this long.
AuthInfo=cred_expire=5
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SlurmUser={user}
SlurmdUser={user}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
# More cores than the machine has.
SlurmdParameters=config_overrides
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
NodeName=here NodeHostname=localhost NodeAddr=127.0.0.1 CPUs=8 RealMemory=1000
PartitionName=main Nodes=here Default=YES MaxTime=UNLIMITED
"""


def slurm(*command: str) -> str:
    """The output of a command of SLURM."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def states() -> dict[str, str]:
    """Number -> state of each job that has not ended."""
    listed = slurm("squeue", "--noheader", "--array", "--format=%i %T")
    return dict(line.split() for line in listed.splitlines())


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[None]:
    """Start SLURM for the block; skips the test where it is not installed, or cannot start."""
    daemons = [shutil.which(name, path=_PATH) for name in ("slurmctld", "slurmd")]
    if None in daemons:
        pytest.skip("SLURM (Debian's slurm-wlm) is not installed")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    file = folder / "slurm.conf"
    file.write_text(
        _CONFIGURATION.format(user=getpass.getuser(), folder=folder, ports=_free_ports())
    )
    started: list[subprocess.Popen[bytes]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(file))
        try:
            for daemon, options in zip(daemons, ([], ["-N", "here"]), strict=True):
                assert daemon is not None
                started.append(
                    subprocess.Popen(
                        [daemon, "-D", *options],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                    )
                )
            wait_for(lambda: _is_ready() or any(one.poll() is not None for one in started))
            if not _is_ready():
                logs = [path.read_text().splitlines()[-1:] for path in folder.glob("*.log")]
                pytest.skip(f"SLURM does not start on this machine: {logs}")
            yield
            subprocess.run(["scancel", f"--user={getpass.getuser()}"], check=False)
            wait_for(lambda: not states(), "jobs do not end")
        finally:
            for one in reversed(started):
                one.terminate()
            for one in started:
                try:
                    one.wait(30)
                except subprocess.TimeoutExpired:
                    one.kill()
                    one.wait()


def _is_ready() -> bool:
    command = ["sinfo", "--noheader", "--format=%t"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    return shown.stdout.strip() == "idle"


def _free_ports() -> list[int]:
    with contextlib.ExitStack() as stack:
        listening = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in listening:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in listening]
