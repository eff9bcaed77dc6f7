"""Train with a progress display, and turn the end of a run into an exit code: shared by the training commands."""

from collections.abc import Callable

from rich.console import Console

from circuits.training import loop, progress
from circuits.training.loop import Report, Run


def run_and_show(
    run: Run, screen: Console, how_to_resume: str, more: Callable[[Report], None] = lambda report: None
) -> int:
    """Train to the end and return an exit code: 0, 1 for infinite losses or a full disk, 130 when interrupted.

    ``more`` is called after each evaluation too. Other errors are bugs and keep their traceback.
    """
    try:
        with progress.shown(screen, run.training) as show:

            def show_all(report: Report) -> None:
                show(report)
                more(report)

            loop.finish(run, show_all)
    except loop.Interrupted as stop:
        resume = f"; {how_to_resume}" if stop.step else ""
        screen.print(f"circuits: {stop}{resume}", style="yellow", soft_wrap=True, markup=False)
        return 130
    except (ArithmeticError, OSError) as error:
        screen.print(f"circuits: {error}", style="red", soft_wrap=True, markup=False)
        return 1
    return 0
