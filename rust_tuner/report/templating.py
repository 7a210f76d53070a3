"""Loading of the report's templates; all text from files is escaped."""

import jinja2


def environment() -> jinja2.Environment:
    """The environment of the templates; an undefined name is an error."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("rust_tuner.report"),
        # Texts for the Markdown template are escaped before they are passed to it.
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
