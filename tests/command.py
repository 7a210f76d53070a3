"""The command line, run in the process of the test."""

from typer.testing import CliRunner

from rust_tuner.cli.app import app


def run(*arguments, code=0):
    """Run a command in this process; no traceback in any case."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    if result.exception is not None:
        assert isinstance(result.exception, SystemExit), result.output
    assert "Traceback" not in result.output
    return result
