"""How the report's templates are read and filled in: everything from a file is escaped."""

import jinja2


def environment() -> jinja2.Environment:
    """The templates of the report; a name that a template lacks is an error."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("rust_tuner.report"),
        # What goes into the Markdown one has been made harmless for Markdown before.
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
