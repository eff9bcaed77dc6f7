"""Who works on a job of a queue: files claims/<job>.<n>, each with a host, a process and its start.

A claim is a file made with O_EXCL, so one process alone can make it, and it is never deleted nor renamed: to take over
claim n of a process that is gone is to make claim n + 1. (With a claim that is moved away, a slow process could move
away the new claim that it takes for the old one.)
"""

import json
import os
import socket
from pathlib import Path
from tempfile import TemporaryFile

from circuits.files import write_text
from circuits.training.sweeps.grid import Job

STALE = 60.0
"""Minutes after which the claim of another host counts as left behind. Evaluations must be less far apart."""


class TakenOver(Exception):
    """Another process goes on with the job, for it took this one for dead."""


def running(folder: Path, job: Job, stale_minutes: float = STALE) -> bool:
    """Whether a process works on the job."""
    last, _ = _last(folder, job)
    return last is not None and _held(last, stale_minutes)


def take(folder: Path, job: Job, stale_minutes: float = STALE) -> Path | None:
    """A claim on a job for this process, or None where another one has it, or was faster."""
    last, following = _last(folder, job)
    if last is not None and _held(last, stale_minutes):
        return None
    try:
        descriptor = os.open(following, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return None
    pid = os.getpid()
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps({"host": socket.gethostname(), "pid": pid, "started": _started(pid)}))
    return following


def touch(claim: Path) -> None:
    """Show that the process is at work. Raises TakenOver if another one has the job by now."""
    if taken_over(claim):
        raise TakenOver(claim.name)
    os.utime(claim)


def taken_over(claim: Path) -> bool:
    """Whether another process took the one of this claim for dead, and has the job."""
    return _following(claim).exists()


def release(claim: Path) -> None:
    """Leave the job to whoever comes next."""
    write_text(claim, json.dumps({"released": True}))


def _last(folder: Path, job: Job) -> tuple[Path | None, Path]:
    """The claim that counts, and the one that would follow it."""
    last, following = None, folder / "claims" / f"{job.name}.0"
    while following.exists():
        last, following = following, _following(following)
    return last, following


def _following(claim: Path) -> Path:
    return claim.with_suffix(f".{int(claim.suffix[1:]) + 1}")


def _held(claim: Path, stale_minutes: float) -> bool:
    """Whether the process of a claim is at work, as far as this host can know."""
    try:
        found = json.loads(claim.read_text(encoding="utf-8"))
    except ValueError:  # made, but not yet written
        found = {}
    if found.get("released"):
        return False
    if found.get("host") == socket.gethostname():
        return _started(found["pid"]) in (found["started"], "unknown")
    with TemporaryFile(dir=claim.parent) as probe:  # made now, by the clock of whoever keeps the files, not by ours
        return os.fstat(probe.fileno()).st_mtime - claim.stat().st_mtime < 60 * stale_minutes


def _started(pid: int) -> str:
    """When a process was started, since process ids are used again; "" if it is dead, "unknown" if it won't tell."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "unknown"
    if not Path("/proc/self/stat").exists():
        return "unknown"
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]  # killed, and its parent has not yet looked
