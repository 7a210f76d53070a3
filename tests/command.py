"""The command line, run in the process of the test."""

from typer.testing import CliRunner, Result

from rust_tuner.cli.app import app


def run(*arguments: object, code: int = 0) -> Result:
    """Run a command in this process; no traceback in any case."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    if result.exception is not None:
        assert isinstance(result.exception, SystemExit), result.output
    assert "Traceback" not in result.output
    return result
